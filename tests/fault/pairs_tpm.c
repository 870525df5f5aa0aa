/* One TPM for several processes: a bare swtpm serves one connection, so that all have the same one, by turns; no two
 * have a command under way at once (pairs_trace.c). */
#include "pairs.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "tpm.h"

static int tpm = -1;
static char prefix[256];

void shared_tpm_up(void)
{
	const char *path = secure_getenv("SIGNET_TEST_TCTI");
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(h.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	if (!is_kind(&kind_tpm))
		return;
	cr_assert(path, "SIGNET_TEST_TCTI isn't set");
	tpm = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(tpm >= 0 && connect(tpm, (struct sockaddr *)&to, sizeof to) == 0, "the TPM: %m");
	snprintf(prefix, sizeof prefix, "%s:fd=%d,", path, tpm);
	h.tcti_prefix = prefix;
	write_config();
}

void shared_tpm_down(void)
{
	if (tpm >= 0)
		close(tpm);
	tpm = -1;
}

void view_tpm(struct text *t)
{
	TSS2_TCTI_CONTEXT *tcti = NULL;
	ESYS_CONTEXT *esys = NULL;

	TSS2_RC rc = Tss2_TctiLdr_Initialize(prefix, &tcti);
	cr_assert(rc == 0, "connection to %s: 0x%x", prefix, rc);
	rc = Esys_Initialize(&esys, tcti, NULL);
	cr_assert(rc == 0, "Esys_Initialize: 0x%x", rc);
	text_add(t, "  %u NV indices, %u persistent and %u transient objects, %u sessions\n",
		 tpm_handles(esys, TPM2_NV_INDEX_FIRST, NULL), tpm_handles(esys, TPM2_PERSISTENT_FIRST, NULL),
		 tpm_handles(esys, TPM2_TRANSIENT_FIRST, NULL),
		 tpm_handles(esys, TPM2_LOADED_SESSION_FIRST, NULL) +
			 tpm_handles(esys, TPM2_ACTIVE_SESSION_FIRST, NULL));
	tpm_disconnect(&esys);
}
