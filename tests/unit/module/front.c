/* Common ground of the tests of the front. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front.h"

char front_dir[] = "/tmp/signet-front-XXXXXX";
char front_file[64];
static char conf[64];

void front_insert(void)
{
	FILE *f = fopen(front_file, "we");

	cr_assert(f);
	(void)fclose(f);
}

void front_withdraw(void)
{
	(void)unlink(front_file);
}

void front_up(void)
{
	FILE *f;

	cr_assert(mkdtemp(front_dir));
	(void)snprintf(front_file, sizeof front_file, "%s/present", front_dir);
	(void)snprintf(conf, sizeof conf, "%s/conf", front_dir);
	f = fopen(conf, "we");
	cr_assert(f);
	(void)fprintf(f, "[slot one]\ntype = mem\n[slot two]\ntype = mem\npresent = %s\n", front_file);
	(void)fclose(f);
	(void)setenv("SIGNET_CONF", conf, 1);
}

void front_down(void)
{
	(void)C_Finalize(NULL);
	front_withdraw();
	(void)unlink(conf);
	(void)rmdir(front_dir);
}

CK_SESSION_HANDLE front_session(CK_FLAGS flags)
{
	CK_SESSION_HANDLE s = 0;

	EXPECT(CKR_OK, C_OpenSession(0, flags, NULL, NULL, &s));
	return s;
}

CK_RV front_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin)
{
	return C_Login(session, user, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin));
}

static CK_UTF8CHAR *text(const char *s)
{
	return (CK_UTF8CHAR *)(uintptr_t)s;
}

void front_token(void)
{
	CK_SESSION_HANDLE s;

	EXPECT(CKR_OK, C_Initialize(NULL));
	EXPECT(CKR_OK, C_InitToken(0, text("so-pin"), 6, text("front                           ")));
	s = front_session(RW);
	EXPECT(CKR_OK, front_login(s, CKU_SO, "so-pin"));
	EXPECT(CKR_OK, C_InitPIN(s, text("user-pin"), 8));
	EXPECT(CKR_OK, C_CloseSession(s));
}
