/* The token record, in the envelope of frame.c.  "sized" is a LEB128 length and as many bytes; numbers are
 * big-endian; TPM structures stand in their own marshalled form.
 *
 *   token id           16
 *   label              32   blank-padded
 *   flags               1   bit 0: no user PIN
 *   storage key         4   persistent handle, 0: none
 *                       1   template (1: the TCG's ECC P-256 storage key)
 *                       sized   name
 *   public secret       seal
 *   SO's PIN            pin
 *   user's PIN          pin
 *
 *   seal                sized TPM2B_PUBLIC, sized TPM2B_PRIVATE
 *   pin                 1   bit 0: there is one; if not, nothing follows
 *                      32   salt
 *                       4   tries that the index was made with
 *                       4   NV index, 0: none
 *                      32   its authPolicy
 *                       sized   its name
 *                       seal    of the private secret */
#include "tokenrec.h"

#include <tss2/tss2_mu.h>

#include "frame.h"

static const struct frame token_frame = {.magic = "SIGNETTK", .version = 1};

enum { FLAG_PIN_NONE = 1, PIN_PRESENT = 1 };

/* ---- TPM structures ---- */

void put_public(struct buffer *out, const TPM2B_PUBLIC *public)
{
	uint8_t m[sizeof *public];
	size_t n = 0;

	if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, m, sizeof m, &n) != TSS2_RC_SUCCESS && out->rv == CKR_OK)
		out->rv = CKR_DEVICE_ERROR;
	buffer_put_sized(out, BYTES(m, n));
}

void put_private(struct buffer *out, const TPM2B_PRIVATE *private)
{
	uint8_t m[sizeof *private];
	size_t n = 0;

	if (Tss2_MU_TPM2B_PRIVATE_Marshal(private, m, sizeof m, &n) != TSS2_RC_SUCCESS && out->rv == CKR_OK)
		out->rv = CKR_DEVICE_ERROR;
	buffer_put_sized(out, BYTES(m, n));
}

void read_public(struct reader *r, TPM2B_PUBLIC *ret)
{
	struct bytes in = read_sized(r);
	size_t n = 0;

	*ret = (TPM2B_PUBLIC){0};
	if (!r->ok || Tss2_MU_TPM2B_PUBLIC_Unmarshal(in.ptr, in.len, &n, ret) != TSS2_RC_SUCCESS || n != in.len)
		r->ok = false;
}

void read_private(struct reader *r, TPM2B_PRIVATE *ret)
{
	struct bytes in = read_sized(r);
	size_t n = 0;

	*ret = (TPM2B_PRIVATE){0};
	if (!r->ok || Tss2_MU_TPM2B_PRIVATE_Unmarshal(in.ptr, in.len, &n, ret) != TSS2_RC_SUCCESS || n != in.len)
		r->ok = false;
}

static void read_fixed(struct reader *r, void *ret, size_t n)
{
	struct bytes in = read_bytes(r, n);

	if (r->ok)
		memcpy(ret, in.ptr, n);
}

static void put_name(struct buffer *out, const TPM2B_NAME *name)
{
	buffer_put_sized(out, BYTES(name->name, name->size));
}

static void read_name(struct reader *r, TPM2B_NAME *ret)
{
	struct bytes in = read_sized(r);

	if (in.len > sizeof ret->name)
		r->ok = false;
	if (!r->ok)
		return;
	ret->size = (uint16_t)in.len;
	if (in.len)
		memcpy(ret->name, in.ptr, in.len);
}

/* ---- parts ---- */

static void put_seal(struct buffer *out, const struct seal *s)
{
	put_public(out, &s->public);
	put_private(out, &s->private);
}

static void read_seal(struct reader *r, struct seal *ret)
{
	read_public(r, &ret->public);
	read_private(r, &ret->private);
}

static void put_pin(struct buffer *out, const struct pin_rec *p)
{
	buffer_put_u8(out, p->present ? PIN_PRESENT : 0);
	if (!p->present)
		return;
	buffer_put(out, BYTES_OF(p->salt));
	buffer_put_be32(out, p->tries);
	buffer_put_be32(out, p->index.handle);
	buffer_put(out, BYTES_OF(p->index.policy));
	put_name(out, &p->index.name);
	put_seal(out, &p->seal);
}

static void read_pin(struct reader *r, struct pin_rec *ret)
{
	uint8_t flags = read_u8(r);

	if (flags & ~PIN_PRESENT)
		r->ok = false;
	ret->present = flags & PIN_PRESENT;
	if (!ret->present)
		return;
	read_fixed(r, ret->salt, sizeof ret->salt);
	ret->tries = read_be32(r);
	ret->index.handle = read_be32(r);
	read_fixed(r, ret->index.policy, sizeof ret->index.policy);
	read_name(r, &ret->index.name);
	read_seal(r, &ret->seal);
}

static void put_parent(struct buffer *out, const struct parent_rec *p)
{
	buffer_put_be32(out, p->handle);
	buffer_put_u8(out, p->tmpl);
	put_name(out, &p->name);
}

static void read_parent(struct reader *r, struct parent_rec *ret)
{
	ret->handle = read_be32(r);
	ret->tmpl = read_u8(r);
	read_name(r, &ret->name);
}

/* ---- the whole ---- */

CK_RV token_rec_emit(const struct token_rec *r, struct buffer *out)
{
	frame_begin(&token_frame, out);
	buffer_put(out, BYTES_OF(r->id));
	buffer_put(out, BYTES_OF(r->label));
	buffer_put_u8(out, r->pin_none ? FLAG_PIN_NONE : 0);
	put_parent(out, &r->parent);
	put_seal(out, &r->public_seal);
	put_pin(out, &r->so);
	put_pin(out, &r->user);
	return frame_end(out);
}

CK_RV token_rec_parse(struct bytes in, struct token_rec *ret)
{
	struct token_rec t = {0};
	struct reader r;
	uint8_t flags;

	TRY(frame_open(&token_frame, in, &r));
	read_fixed(&r, t.id, sizeof t.id);
	read_fixed(&r, t.label, sizeof t.label);
	flags = read_u8(&r);
	t.pin_none = flags & FLAG_PIN_NONE;
	read_parent(&r, &t.parent);
	read_seal(&r, &t.public_seal);
	read_pin(&r, &t.so);
	read_pin(&r, &t.user);
	if (!reader_done(&r) || flags & ~FLAG_PIN_NONE || !t.so.present)
		return CKR_DEVICE_ERROR;
	*ret = t;
	return CKR_OK;
}
