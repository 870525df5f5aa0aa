/* signet-export - writes a key of a TPM token as a TSS2 file, which tpm2-openssl, tpm2-tss-engine and ssh-tpm-agent
 * read.
 *
 * The key stays the TPM's: the file is of use on this machine only, and whoever has it must know the authorization
 * value that is chosen here.  An ordinary Cryptoki application: what it does is C_WrapKey with CKM_SIGNET_TSS2_KEY. */
#include <dlfcn.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <termios.h>
#include <unistd.h>

#include "rv.h"
#include "token.h"

#define SECRET_SIZE 256
#define FORM_MAX 65536

struct secret {
	char text[SECRET_SIZE];
	size_t len;
};

static void secret_wipe(struct secret *s)
{
	explicit_bzero(s, sizeof *s);
}

struct options {
	const char *module, *token, *label, *id, *pin_file, *auth_file;
	bool no_auth;
};

static bool complain(const char *format, ...) PRINTF_LIKE(1, 2);
static bool complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("signet-export: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return false;
}

static bool check(CK_RV rv, const char *what)
{
	return rv == CKR_OK || complain("%s: %s", what, rv_name(rv));
}

/* ---- secrets ---- */

/* The first line of a file, without its end. */
static bool read_line(int fd, struct secret *ret)
{
	ssize_t n;
	char c;

	ret->len = 0;
	while ((n = read(fd, &c, 1)) == 1 && c != '\n') {
		if (ret->len == sizeof ret->text)
			return complain("a line is too long");
		ret->text[ret->len++] = c;
	}
	return n >= 0 || complain("cannot read: %m");
}

static bool read_file(const char *path, struct secret *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_line(fd, ret);

	if (fd < 0)
		return complain("%s: %m", path);
	close(fd);
	return ok;
}

static bool ask(const char *prompt, struct secret *ret)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios was, quiet;
	bool ok;

	if (fd < 0 || tcgetattr(fd, &was) < 0) {
		if (fd >= 0)
			close(fd);
		return complain("there is no terminal to ask on: name a file (--pin-file, --auth-file)");
	}
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	dprintf(fd, "%s: ", prompt);
	tcsetattr(fd, TCSAFLUSH, &quiet);
	ok = read_line(fd, ret);
	tcsetattr(fd, TCSAFLUSH, &was);
	dprintf(fd, "\n");
	close(fd);
	return ok;
}

static bool ask_twice(const char *prompt, struct secret *ret)
{
	struct secret again CLEANUP(secret_wipe) = {.len = 0};

	if (!ask(prompt, ret) || !ask("Once more", &again))
		return false;
	return (ret->len == again.len && !memcmp(ret->text, again.text, again.len)) || complain("these are two");
}

static bool get_auth(const struct options *o, struct secret *ret)
{
	if (o->no_auth)
		return true;
	if (!(o->auth_file ? read_file(o->auth_file, ret) : ask_twice("New password of the file's key", ret)))
		return false;
	return ret->len || complain("an empty password is asked for by --no-auth");
}

/* ---- the token ---- */

static CK_FUNCTION_LIST *load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = NULL;
	CK_FUNCTION_LIST *list;

	if (handle)
		*(void **)&get = dlsym(handle, "C_GetFunctionList");
	if (!get) {
		complain("%s", dlerror());
		return NULL;
	}
	if (!check(get(&list), "C_GetFunctionList") || !check(list->C_Initialize(NULL), "C_Initialize"))
		return NULL;
	return list;
}

static bool is_wanted(const CK_TOKEN_INFO *info, const char *label)
{
	size_t n = sizeof info->label;

	if (!(info->flags & CKF_TOKEN_INITIALIZED))
		return false;
	while (n && info->label[n - 1] == ' ')
		n--;
	return !label || (strlen(label) == n && !memcmp(info->label, label, n));
}

/* The only token that can export, or the only one of that label. */
static bool find_token(CK_FUNCTION_LIST *p11, const struct options *o, CK_SLOT_ID *ret, CK_TOKEN_INFO *ret_info)
{
	CK_SLOT_ID slots[256];
	CK_ULONG n = ARRAY_LEN(slots), found = 0;

	if (!check(p11->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList"))
		return false;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_MECHANISM_INFO mech;
		CK_TOKEN_INFO info;

		if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK || !is_wanted(&info, o->token) ||
		    p11->C_GetMechanismInfo(slots[i], CKM_SIGNET_TSS2_KEY, &mech) != CKR_OK)
			continue;
		*ret = slots[i];
		*ret_info = info;
		found++;
	}
	if (found == 0)
		return complain("there is no such token");
	return found == 1 || complain("there are %lu such tokens: name one (--token)", found);
}

static bool login(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, const CK_TOKEN_INFO *info, const struct options *o)
{
	struct secret pin CLEANUP(secret_wipe) = {.len = 0};

	if (!(info->flags & CKF_LOGIN_REQUIRED))
		return true;
	if (!(o->pin_file ? read_file(o->pin_file, &pin) : ask("PIN", &pin)))
		return false;
	return check(p11->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin.text, pin.len), "C_Login");
}

static bool decode_id(const char *hex, CK_BYTE *out, CK_ULONG *n)
{
	size_t len = strlen(hex);

	if (len % 2 || len / 2 > SECRET_SIZE || !hex_decode(hex, out, len / 2))
		return complain("--id takes pairs of hex digits");
	*n = len / 2;
	return true;
}

static bool find_key(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, const struct options *o, CK_OBJECT_HANDLE *ret)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_OBJECT_HANDLE found[2];
	CK_BYTE id[SECRET_SIZE];
	CK_ULONG n = 0, n_id = 0;
	CK_ATTRIBUTE tmpl[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_LABEL, (void *)(uintptr_t)o->label, o->label ? strlen(o->label) : 0},
	};

	if (o->id) {
		if (!decode_id(o->id, id, &n_id))
			return false;
		tmpl[1] = (CK_ATTRIBUTE){CKA_ID, id, n_id};
	}
	if (!check(p11->C_FindObjectsInit(session, tmpl, 2), "C_FindObjectsInit") ||
	    !check(p11->C_FindObjects(session, found, 2, &n), "C_FindObjects"))
		return false;
	(void)p11->C_FindObjectsFinal(session);
	*ret = found[0];
	return n == 1 || complain(n ? "there are several such keys" : "there is no such private key");
}

/* ---- the file ---- */

static bool export_key(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const struct options *o)
{
	struct secret auth CLEANUP(secret_wipe) = {.len = 0};
	static CK_BYTE form[FORM_MAX];
	CK_ULONG n = sizeof form;

	if (!get_auth(o, &auth))
		return false;
	CK_MECHANISM mech = {CKM_SIGNET_TSS2_KEY, auth.len ? auth.text : NULL, auth.len};

	if (!check(p11->C_WrapKey(session, &mech, CK_INVALID_HANDLE, key, form, &n), "C_WrapKey"))
		return false;
	return (fwrite(form, 1, n, stdout) == n && fflush(stdout) == 0) || complain("cannot write: %m");
}

static bool run_session(CK_FUNCTION_LIST *p11, const struct options *o)
{
	CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
	CK_SESSION_HANDLE session;
	CK_TOKEN_INFO info = {0};
	CK_SLOT_ID slot = 0;

	if (!find_token(p11, o, &slot, &info))
		return false;
	if (!check(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession"))
		return false;
	return login(p11, session, &info, o) && find_key(p11, session, o, &key) && export_key(p11, session, key, o);
}

static bool run(const struct options *o)
{
	CK_FUNCTION_LIST *p11 = load(o->module);
	bool ok = p11 && run_session(p11, o);

	if (p11)
		(void)p11->C_Finalize(NULL);
	return ok;
}

/* ---- the command line ---- */

static const char usage[] =
	"usage: signet-export [OPTION...] --label LABEL | --id HEX  > FILE\n"
	"Writes a private key of a TPM token as a \"TSS2 PRIVATE KEY\" for other programs on this machine.\n"
	"  --module PATH     the module (default: " MODULE_PATH ")\n"
	"  --token LABEL     the token, if there are several\n"
	"  --pin-file FILE   its first line is the user's PIN (default: ask)\n"
	"  --auth-file FILE  its first line is the password that the file's key gets (default: ask)\n"
	"  --no-auth         none: whoever has the file can use the key on this machine\n";

enum {
	OPTION_MODULE, OPTION_TOKEN, OPTION_LABEL, OPTION_ID, OPTION_PIN_FILE, OPTION_AUTH_FILE, OPTION_NO_AUTH,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{"module", required_argument, NULL, OPTION_MODULE},
	{"token", required_argument, NULL, OPTION_TOKEN},
	{"label", required_argument, NULL, OPTION_LABEL},
	{"id", required_argument, NULL, OPTION_ID},
	{"pin-file", required_argument, NULL, OPTION_PIN_FILE},
	{"auth-file", required_argument, NULL, OPTION_AUTH_FILE},
	{"no-auth", no_argument, NULL, OPTION_NO_AUTH},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

/* 0: go on; else what the program ends with, less one. */
static int parse(int argc, char **argv, struct options *o)
{
	const char **words[] = {
		[OPTION_MODULE] = &o->module, [OPTION_TOKEN] = &o->token, [OPTION_LABEL] = &o->label,
		[OPTION_ID] = &o->id, [OPTION_PIN_FILE] = &o->pin_file, [OPTION_AUTH_FILE] = &o->auth_file,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == OPTION_HELP || c == '?') {
			fputs(usage, c == '?' ? stderr : stdout);
			return c == '?' ? 3 : 1;
		}
		if (c == OPTION_NO_AUTH)
			o->no_auth = true;
		else
			*words[c] = optarg;
	}
	if (optind == argc && !o->label != !o->id)
		return 0;
	fputs(usage, stderr);
	return 3;
}

int main(int argc, char **argv)
{
	struct options o = {.module = MODULE_PATH};
	int end = parse(argc, argv, &o);

	if (end)
		return end - 1;
	return run(&o) ? 0 : 1;
}
