/* module/index.c against a plain list, with ids that all want the same places. */
#include <criterion/criterion.h>

#include "index.h"
#include "object.h"

#define MANY 600

static struct token_obj obj[MANY];
static struct object object[MANY];
static bool in[MANY];
static struct object_index x;

/* No random ids: serial numbers at either end, as a backend makes them up. */
static void number_objects(size_t at)
{
	for (size_t i = 0; i < MANY; i++) {
		memset(obj[i].id, 0, sizeof obj[i].id);
		obj[i].id[at] = (uint8_t)i;
		obj[i].id[at + 1] = (uint8_t)(i >> 8);
		object[i].obj = &obj[i];
	}
}

static void compare(size_t n)
{
	cr_assert_eq(x.n, n);
	cr_assert_leq(x.n * 2, x.cap);
	for (size_t i = 0; i < MANY; i++)
		cr_assert_eq(index_find(&x, obj[i].id), in[i] ? &object[i] : NULL, "%zu", i);
}

static void put(size_t i)
{
	cr_assert_eq(index_reserve(&x, 1), CKR_OK);
	index_put(&x, &object[i]);
	in[i] = true;
}

static void take(size_t i)
{
	index_remove(&x, &object[i]);
	in[i] = false;
}

static void put_and_take(size_t at)
{
	size_t n = 0;

	number_objects(at);
	compare(0);
	for (size_t i = 0; i < MANY; i++)
		put(i);
	compare(MANY);
	for (size_t i = 0; i < MANY; i++)
		if (i % 3)
			take(i);
		else
			n++;
	compare(n);
	for (size_t i = 0; i < MANY; i += 2)
		put(i);
	for (size_t i = 0; i < MANY; i++)
		take(i);
	compare(0);
	index_done(&x);
	compare(0);
}

Test(index, finds_what_is_in_it)
{
	put_and_take(0);
	put_and_take(6);
	put_and_take(14);
}

Test(index, one_place_per_id)
{
	struct object again = {.obj = &obj[1]};

	number_objects(0);
	put(1);
	put(2);
	index_put(&x, &again);
	cr_assert_eq(index_find(&x, obj[1].id), &again);
	cr_assert_eq(x.n, 2);
	/* The one that was displaced is no longer in it. */
	index_remove(&x, &object[1]);
	cr_assert_eq(index_find(&x, obj[1].id), &again);
	index_remove(&x, &again);
	cr_assert_null(index_find(&x, obj[1].id));
	cr_assert_eq(x.n, 1);
	index_done(&x);
}

/* What index_reserve() promised is there without another allocation. */
Test(index, room_is_made_ahead)
{
	struct object **before;

	number_objects(0);
	cr_assert_eq(index_reserve(&x, MANY), CKR_OK);
	before = x.at;
	for (size_t i = 0; i < MANY; i++) {
		index_put(&x, &object[i]);
		in[i] = true;
	}
	cr_assert_eq(x.at, before);
	compare(MANY);
	index_done(&x);
}
