/* The token in memory: its slot is filled while a file is there. */
#include "harness.h"

#include <unistd.h>

static void present_path(char path[96])
{
	snprintf(path, 96, "%s/present", h.dir);
}

static void restore(void)
{
	char path[96];

	present_path(path);
	FILE *f = fopen(path, "we");
	cr_assert(f);
	fclose(f);
}

static void take_out(void)
{
	char path[96];

	present_path(path);
	unlink(path);
}

static void config(FILE *conf)
{
	char path[96];

	present_path(path);
	fprintf(conf, "type = mem\npresent = %s\n", path);
}

static void nothing(void)
{
}

const struct kind kind_mem = {
	.name = "mem",
	.setup = restore,
	.config = config,
	.check = nothing,
	.teardown = nothing,
	.remove = take_out,
	.restore = restore,
	.process_only = true,
};
