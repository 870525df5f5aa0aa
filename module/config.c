/* The configuration file.
 *
 *     ; comment, # comment
 *     [slot NAME]           a slot, NAME of letters, digits, "_", "-" and "."
 *     type = tpm            which backend; the other keys are the backend's
 *     key = value
 *
 * inih reads it.  What inih doesn't say, the reader under it notes: the number of the line, where a section begins
 * (also one without keys), and lines that inih makes nothing of.  A mistake takes away its section, with file and line
 * in the log; one outside of any section is logged and ignored. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "config_parse.h"
#include "log.h"

#define SYSTEM_FILE "/etc/signet/signet.conf"
#define FILE_MAX (1u << 18)
/* inih cuts longer names of sections, and lines that don't fit its buffer, in two. */
#define HEADER_MAX 48

struct config {
	struct conf_section **at;
	size_t n;
};

struct parser {
	struct config *config;
	const char *file;
	struct bytes left;             /* not yet read */
	unsigned line;
	unsigned header;               /* the line of the section's header; 0: before the first one */
	struct conf_section *section;  /* NULL: the header's keys haven't come yet, or the section is a mistake */
	bool broken;                   /* the section has a mistake: the rest of it is skipped */
	bool unused;                   /* inih hasn't passed on what was on the last line */
	CK_RV rv;                      /* CKR_HOST_MEMORY stops everything */
};

static void complain(const struct parser *p, const char *what)
{
	log_error("%s:%u: %s", p->file, p->line, what);
}

/* Takes the section away. */
static void spoil(struct parser *p, const char *what)
{
	if (what)
		complain(p, what);
	p->broken = true;
	conf_section_free(TAKE(p->section));
}

static bool is_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
			return false;
	return *name != '\0';
}

static bool is_taken(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n; i++)
		if (strcmp(conf_name(config->at[i]), name) == 0)
			return true;
	return false;
}

/* "slot NAME" → NAME, or NULL with a complaint. */
static const char *slot_name(const struct parser *p, const char *header)
{
	const char *name;

	if (strncmp(header, "slot", 4) != 0 || !isblank((unsigned char)header[4])) {
		log_error("%s:%u: [%s] isn't a section that is known: it should be [slot NAME]", p->file, p->header, header);
		return NULL;
	}
	name = header + 5 + strspn(header + 5, " \t");
	if (!is_name(name)) {
		log_error("%s:%u: a slot's name has letters, digits, _, - and . only", p->file, p->header);
		return NULL;
	}
	if (is_taken(p->config, name)) {
		log_error("%s:%u: there is a [slot %s] already", p->file, p->header, name);
		return NULL;
	}
	return name;
}

static CK_RV config_append(struct config *config, struct conf_section *section)
{
	struct conf_section **at = realloc(config->at, (config->n + 1) * sizeof *at);

	if (!at) {
		conf_section_free(section);
		return CKR_HOST_MEMORY;
	}
	config->at = at;
	at[config->n++] = section;
	return CKR_OK;
}

/* The section that was being read is complete. */
static void finish_section(struct parser *p)
{
	if (p->header && !p->section && !p->broken)
		log_error("%s:%u: this section is empty", p->file, p->header);
	if (p->section && config_append(p->config, TAKE(p->section)) != CKR_OK)
		p->rv = CKR_HOST_MEMORY;
}

static void begin_section(struct parser *p, const char *line, size_t n)
{
	const char *end = memchr(line, ']', n);

	finish_section(p);
	p->header = p->line;
	p->broken = false;
	if (!end)
		spoil(p, "a section's name ends with ]");
	else if (end - line - 1 > HEADER_MAX)
		spoil(p, "the section's name is too long");
}

/* inih said nothing about the line before this one, so it has no meaning. */
static void check_unused(struct parser *p)
{
	if (p->unused && p->header)
		spoil(p, "this is neither a [section] nor key = value");
	else if (p->unused)
		complain(p, "this is neither a [section] nor key = value");
	p->unused = false;
}

/* Hands inih one line, without the blanks before it: a line that begins with blanks would continue the one before. */
static char *hand_out(struct parser *p, char *buf, size_t size, const char *line, size_t n)
{
	while (n > 0 && isblank((unsigned char)*line)) {
		line++;
		n--;
	}
	if (n > 0 && *line == '[')
		begin_section(p, line, n);
	p->unused = n > 0 && !strchr("[;#\r\n", *line);
	if (n >= size || memchr(line, '\0', n)) {
		spoil(p, n >= size ? "the line is too long" : "there is a NUL character in this line");
		p->unused = false;
		n = 0;
	}
	memcpy(buf, line, n);
	buf[n] = '\0';
	return buf;
}

static char *read_line(char *buf, int size, void *stream)
{
	struct parser *p = stream;
	const char *line = (const char *)p->left.ptr, *end;
	size_t n;

	check_unused(p);
	if (p->left.len == 0 || p->rv != CKR_OK)
		return NULL;
	end = memchr(line, '\n', p->left.len);
	n = end ? (size_t)(end - line) + 1 : p->left.len;
	p->left = BYTES(line + n, p->left.len - n);
	p->line++;
	return hand_out(p, buf, (size_t)size, line, n);
}

static bool need_section(struct parser *p, const char *header)
{
	const char *name;

	if (p->broken)
		return false;
	if (!p->header) {
		complain(p, "a key before the first section is ignored");
		return false;
	}
	if (p->section)
		return true;
	name = slot_name(p, header);
	if (!name) {
		spoil(p, NULL);
		return false;
	}
	p->section = conf_section_new(name, p->file, p->header);
	if (!p->section)
		p->rv = CKR_HOST_MEMORY;
	return p->section != NULL;
}

static int take_pair(void *user, const char *header, const char *key, const char *value)
{
	struct parser *p = user;
	CK_RV rv;

	p->unused = false;
	if (!need_section(p, header))
		return 1;
	rv = conf_section_add(p->section, key, value, p->line);
	if (rv == CKR_HOST_MEMORY)
		p->rv = rv;
	else if (rv != CKR_OK)
		spoil(p, NULL);
	return 1;
}

CK_RV config_parse(const char *file, struct bytes text, struct config **ret)
{
	struct config *config = calloc(1, sizeof *config);
	struct parser p = {.config = config, .file = file, .left = text, .rv = CKR_OK};

	if (!config)
		return CKR_HOST_MEMORY;
	/* Editors of other systems begin a file with a byte order mark. */
	if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
		p.left = BYTES(text.ptr + 3, text.len - 3);
	/* Its result says less than the parser knows. */
	if (ini_parse_stream(read_line, &p, take_pair, &p) == -2)
		p.rv = CKR_HOST_MEMORY;
	finish_section(&p);
	if (p.rv != CKR_OK) {
		config_free(config);
		return p.rv;
	}
	*ret = config;
	return CKR_OK;
}

static CK_RV read_all(int fd, struct buffer *out)
{
	uint8_t chunk[4096];
	ssize_t n;

	do {
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno != EINTR)
			return CKR_FUNCTION_FAILED;
		if (n > 0)
			buffer_put(out, BYTES(chunk, (size_t)n));
	} while (n != 0 && buffer_status(out) == CKR_OK);
	errno = EFBIG;
	return buffer_status(out);
}

static CK_RV read_file(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	CK_RV rv = CKR_FUNCTION_FAILED;

	if (fd < 0)
		return rv;
	errno = EINVAL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		rv = read_all(fd, out);
	(void)close(fd);
	return rv;
}

/* `optional`: a file that isn't there is CKR_OK without a configuration. */
static CK_RV load_file(const char *path, bool optional, struct config **ret)
{
	struct buffer text CLEANUP(buffer_done);
	CK_RV rv;

	buffer_init(&text, FILE_MAX);
	rv = read_file(path, &text);
	if (rv == CKR_OK)
		return config_parse(path, buffer_bytes(&text), ret);
	if (optional && (errno == ENOENT || errno == ENOTDIR))
		return CKR_OK;
	if (rv == CKR_HOST_MEMORY)
		return rv;
	log_error("%s can't be read (%m): there are no slots", path);
	return config_parse(path, NO_BYTES, ret);
}

/* $XDG_CONFIG_HOME/signet/signet.conf, or below $HOME/.config; false if there is no such place. */
static bool user_path(char *path, size_t size)
{
	const char *base = secure_getenv("XDG_CONFIG_HOME"), *below = "";
	int n;

	if (!base || *base != '/') {
		base = secure_getenv("HOME");
		below = "/.config";
	}
	if (!base || *base != '/')
		return false;
	n = snprintf(path, size, "%s%s/signet/signet.conf", base, below);
	return n > 0 && (size_t)n < size;
}

static const char defaults[] = "[slot tpm]\n"
			       "type = tpm\n"
			       "[slot user]\n"
			       "type = keyring\n"
			       "keyring = user\n"
			       "[slot session]\n"
			       "type = keyring\n"
			       "keyring = session\n";

CK_RV config_load(struct config **ret)
{
	const char *named = secure_getenv("SIGNET_CONF");
	struct config *config = NULL;
	char path[PATH_MAX];

	if (named && *named)
		return load_file(named, false, ret);
	if (user_path(path, sizeof path))
		TRY(load_file(path, true, &config));
	if (!config)
		TRY(load_file(SYSTEM_FILE, true, &config));
	if (!config)
		TRY(config_parse("(built-in defaults)", BYTES(defaults, sizeof defaults - 1), &config));
	*ret = config;
	return CKR_OK;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		conf_section_free(c->at[i]);
	free(c->at);
	free(c);
}

size_t config_count(const struct config *c)
{
	return c->n;
}

const struct conf_section *config_section(const struct config *c, size_t i)
{
	return c->at[i];
}
