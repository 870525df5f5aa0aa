/* Deadlines for the TCTI of tpm2-tss that has none: swtpm's connects anew for each command, gives no poll handle, and
 * reads blockingly (3.2.1, tried).  Its socket is found by its peer's port, polled before the answer is read, and given
 * a receive time-out, so that a TPM that stops in the middle of an answer can't hold us either. */
#ifndef TPM_STREAM_H
#define TPM_STREAM_H

#include "base.h"

struct stream {
	uint16_t port;   /* of the TPM; 0: not such a TCTI */
	int fd;          /* the number that the last command's socket had; -1: none yet */
	int guess;       /* the number that the next one will probably have */
};

/* From TctiLdr's configuration string. */
void stream_init(struct stream *s, const char *tcti);
/* Whether the control channel of a software TPM (swtpm, mssim), on which its TCTI begins by reading blockingly, answers
 * within wait_ms.  True also where that can't be asked: the TCTI then says what is wrong. */
bool stream_answers(const char *tcti, int wait_ms) MUST_CHECK;
/* A receive time-out for a socket on which an answer may stop half-way. */
void stream_limit(int fd);
/* Just before a command is sent. */
void stream_expect(struct stream *s);
/* The socket on which the answer will come, with a receive time-out; only to be polled.  -1: not found. */
int stream_socket(struct stream *s) MUST_CHECK;

#endif
