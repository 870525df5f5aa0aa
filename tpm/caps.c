/* What the TPM can do: asked when first wanted; properties are kept as long as the connection, tables longer. */
#include "conn_private.h"
#include "log.h"

#define MAX_PROPERTIES TPM2_MAX_TPM_PROPERTIES
#define ALG_LIMIT 256
/* TPM_CC: the commands of the specification (Part 2, 6.5.2). */
#define COMMAND_FIRST 0x100u
#define COMMAND_LIMIT 0x100u

static void word_text(uint32_t v, char out[4])
{
	for (unsigned i = 0; i < 4; i++) {
		char b = (char)(v >> (24 - 8 * i));

		out[i] = b >= ' ' && b <= '~' ? b : 0;
	}
}

/* ---- properties ---- */

static void set_manufacturer(struct conn_properties *p, uint32_t v)
{
	p->manufacturer = v;
	word_text(v, p->manufacturer_text);
	for (size_t i = 4; i > 0 && p->manufacturer_text[i - 1] == ' '; i--)
		p->manufacturer_text[i - 1] = 0;
}

static void set_permanent(struct conn_properties *p, uint32_t v)
{
	p->owner_auth_set = v & TPMA_PERMANENT_OWNERAUTHSET;
	p->endorsement_auth_set = v & TPMA_PERMANENT_ENDORSEMENTAUTHSET;
	p->lockout_auth_set = v & TPMA_PERMANENT_LOCKOUTAUTHSET;
	p->in_lockout = v & TPMA_PERMANENT_INLOCKOUT;
}

/* Where a property goes: a number as it is, four characters, or a function that takes it apart. */
static const struct property_row {
	uint32_t property;
	size_t number, text; /* offsets; the structure starts with what neither of them is */
	void (*set)(struct conn_properties *p, uint32_t v);
} property_rows[] = {
	{.property = TPM2_PT_MANUFACTURER, .set = set_manufacturer},
	{.property = TPM2_PT_PERMANENT, .set = set_permanent},
	{.property = TPM2_PT_VENDOR_STRING_1, .text = offsetof(struct conn_properties, vendor)},
	{.property = TPM2_PT_VENDOR_STRING_2, .text = offsetof(struct conn_properties, vendor) + 4},
	{.property = TPM2_PT_VENDOR_STRING_3, .text = offsetof(struct conn_properties, vendor) + 8},
	{.property = TPM2_PT_VENDOR_STRING_4, .text = offsetof(struct conn_properties, vendor) + 12},
	{.property = TPM2_PT_FIRMWARE_VERSION_1, .number = offsetof(struct conn_properties, firmware)},
	{.property = TPM2_PT_FIRMWARE_VERSION_2, .number = offsetof(struct conn_properties, firmware) + 4},
	{.property = TPM2_PT_REVISION, .number = offsetof(struct conn_properties, revision)},
	{.property = TPM2_PT_NV_BUFFER_MAX, .number = offsetof(struct conn_properties, nv_buffer_max)},
	{.property = TPM2_PT_INPUT_BUFFER, .number = offsetof(struct conn_properties, input_buffer_max)},
	{.property = TPM2_PT_MAX_DIGEST, .number = offsetof(struct conn_properties, max_digest)},
	{.property = TPM2_PT_LOCKOUT_COUNTER, .number = offsetof(struct conn_properties, lockout_counter)},
	{.property = TPM2_PT_MAX_AUTH_FAIL, .number = offsetof(struct conn_properties, max_auth_fail)},
	{.property = TPM2_PT_LOCKOUT_INTERVAL, .number = offsetof(struct conn_properties, lockout_interval)},
	{.property = TPM2_PT_LOCKOUT_RECOVERY, .number = offsetof(struct conn_properties, lockout_recovery)},
};

static void take_property(struct conn_properties *p, const TPMS_TAGGED_PROPERTY *in)
{
	for (size_t i = 0; i < ARRAY_LEN(property_rows); i++) {
		const struct property_row *row = &property_rows[i];

		if (row->property != in->property)
			continue;
		if (row->set)
			row->set(p, in->value);
		else if (row->number)
			memcpy((char *)p + row->number, &in->value, sizeof in->value);
		else
			word_text(in->value, (char *)p + row->text);
	}
}

/* Whose tables they are. */
static void disbelieve(struct conn *c)
{
	struct caps *caps = &c->caps;

	log_info("slot %s: this isn't the TPM, or not the firmware, whose abilities are remembered; asking anew", c->slot);
	caps->have_algs = caps->have_commands = caps->have_curves = caps->have_rsa = false;
	memset(&caps->tables, 0, sizeof caps->tables);
	c->learnt++;
}

static void take_identity(struct conn *c, const TPMS_TAGGED_PROPERTY *list, size_t n)
{
	uint32_t identity[CONN_IDENTITY] = {0};

	for (size_t i = 0; i < n; i++)
		if (list[i].property >= TPM2_PT_FAMILY_INDICATOR && list[i].property <= TPM2_PT_INPUT_BUFFER)
			identity[list[i].property - TPM2_PT_FAMILY_INDICATOR] = list[i].value;
	if (c->caps.have_identity && memcmp(identity, c->caps.tables.identity, sizeof identity) != 0)
		disbelieve(c);
	memcpy(c->caps.tables.identity, identity, sizeof identity);
	c->caps.have_identity = true;
}

/* One group: TPM2_PT_FIXED, whose answer may have the variable ones too, or TPM2_PT_VAR. */
static CK_RV ask_properties(struct conn *c, uint32_t group)
{
	struct conn_properties p = c->caps.properties;
	TPMS_CAPABILITY_DATA data;
	const TPML_TAGGED_TPM_PROPERTY *list = &data.data.tpmProperties;
	size_t n;

	TRY(tpm2_get_capability(c, NULL, TPM2_CAP_TPM_PROPERTIES, group, MAX_PROPERTIES, &data));
	n = MIN(list->count, MAX_PROPERTIES);
	for (size_t i = 0; i < n; i++)
		take_property(&p, &list->tpmProperty[i]);
	c->caps.properties = p;
	if (group == TPM2_PT_FIXED)
		take_identity(c, list->tpmProperty, n);
	c->caps.have_fixed |= group == TPM2_PT_FIXED;
	c->caps.have_variable |= group == TPM2_PT_VAR ||
				 (n > 0 && list->tpmProperty[n - 1].property >= TPM2_PT_LOCKOUT_RECOVERY);
	return CKR_OK;
}

CK_RV conn_properties(struct conn *c, const struct conn_properties **ret)
{
	if (!c->caps.have_fixed)
		TRY(ask_properties(c, TPM2_PT_FIXED));
	if (!c->caps.have_variable)
		TRY(ask_properties(c, TPM2_PT_VAR));
	*ret = &c->caps.properties;
	return CKR_OK;
}

CK_RV conn_refresh(struct conn *c, const struct conn_properties **ret)
{
	c->caps.have_variable = false;
	return conn_properties(c, ret);
}

CK_RV conn_input_max(struct conn *c, size_t *ret)
{
	if (!c->caps.have_identity)
		TRY(ask_properties(c, TPM2_PT_FIXED));
	*ret = c->caps.tables.identity[TPM2_PT_INPUT_BUFFER - TPM2_PT_FAMILY_INDICATOR];
	return CKR_OK;
}

/* ---- algorithms ---- */

CK_RV conn_has_alg(struct conn *c, TPM2_ALG_ID alg, bool *ret)
{
	TPMS_CAPABILITY_DATA data;
	const TPML_ALG_PROPERTY *list = &data.data.algorithms;

	if (!c->caps.have_algs) {
		TRY(tpm2_get_capability(c, NULL, TPM2_CAP_ALGS, TPM2_ALG_FIRST, TPM2_MAX_CAP_ALGS, &data));
		for (size_t i = 0; i < MIN(list->count, TPM2_MAX_CAP_ALGS); i++)
			if (list->algProperties[i].alg < ALG_LIMIT)
				c->caps.tables.algs[list->algProperties[i].alg / 8] |=
					(uint8_t)(1u << list->algProperties[i].alg % 8);
		c->caps.have_algs = true;
	}
	*ret = alg < ALG_LIMIT && c->caps.tables.algs[alg / 8] >> alg % 8 & 1;
	return CKR_OK;
}

/* ---- commands ---- */

/* One page; *first becomes the next one's start, 0 after the last.  Vendors' commands are left out. */
static CK_RV ask_commands(struct conn *c, TPM2_CC *first, uint8_t bits[32])
{
	TPML_CCA list;
	TPM2_CC last = 0;
	bool more;

	TRY(tpm2_get_commands(c, *first, &list, &more));
	for (size_t i = 0; i < list.count; i++) {
		last = list.commandAttributes[i] & (TPMA_CC_COMMANDINDEX_MASK | TPMA_CC_V);
		if (last >= COMMAND_FIRST && last < COMMAND_FIRST + COMMAND_LIMIT)
			bits[(last - COMMAND_FIRST) / 8] |= (uint8_t)(1u << last % 8);
	}
	*first = more && last >= *first && last < COMMAND_FIRST + COMMAND_LIMIT ? last + 1 : 0;
	return CKR_OK;
}

CK_RV conn_has_command(struct conn *c, TPM2_CC command, bool *ret)
{
	TPM2_CC at = command - COMMAND_FIRST;
	uint8_t bits[sizeof c->caps.tables.commands] = {0};

	for (TPM2_CC first = COMMAND_FIRST; !c->caps.have_commands && first;)
		TRY(ask_commands(c, &first, bits));
	if (!c->caps.have_commands)
		memcpy(c->caps.tables.commands, bits, sizeof bits);
	c->caps.have_commands = true;
	*ret = at < COMMAND_LIMIT && c->caps.tables.commands[at / 8] >> at % 8 & 1;
	return CKR_OK;
}

/* ---- keys ---- */

CK_RV conn_has_curve(struct conn *c, TPM2_ECC_CURVE curve, bool *ret)
{
	TPMS_CAPABILITY_DATA data;
	const TPML_ECC_CURVE *list = &data.data.eccCurves;

	if (!c->caps.have_curves) {
		TRY(tpm2_get_capability(c, NULL, TPM2_CAP_ECC_CURVES, TPM2_ECC_NONE, TPM2_MAX_ECC_CURVES, &data));
		c->caps.tables.n_curves = MIN(list->count, CONN_MAX_CURVES);
		for (size_t i = 0; i < c->caps.tables.n_curves; i++)
			c->caps.tables.curves[i] = list->eccCurves[i];
		c->caps.have_curves = true;
	}
	*ret = false;
	for (size_t i = 0; i < c->caps.tables.n_curves; i++)
		*ret |= c->caps.tables.curves[i] == curve;
	return CKR_OK;
}

CK_RV conn_rsa_sizes(struct conn *c, const uint16_t **ret, size_t *ret_n)
{
	static const uint16_t sizes[CONN_RSA_SIZES] = {1024, 2048, 3072, 4096};
	uint16_t found[CONN_RSA_SIZES];
	size_t n = 0;

	for (size_t i = 0; !c->caps.have_rsa && i < CONN_RSA_SIZES; i++) {
		TPMT_PUBLIC_PARMS parms = {.type = TPM2_ALG_RSA,
					   .parameters.rsaDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
								    .scheme.scheme = TPM2_ALG_NULL,
								    .keyBits = sizes[i]}};
		bool ok;

		TRY(tpm2_test_parms(c, &parms, &ok));
		if (ok)
			found[n++] = sizes[i];
	}
	if (!c->caps.have_rsa) {
		memcpy(c->caps.tables.rsa, found, n * sizeof *found);
		c->caps.tables.n_rsa = n;
		c->caps.have_rsa = true;
	}
	*ret = c->caps.tables.rsa;
	*ret_n = c->caps.tables.n_rsa;
	return CKR_OK;
}

/* ---- over connections and processes ---- */

void caps_reconnected(struct caps *caps)
{
	struct caps fresh = {0};

	/* Tables without an identity can't be told from another TPM's. */
	if (caps->have_identity) {
		fresh = *caps;
		fresh.properties = (struct conn_properties){0};
		fresh.have_fixed = fresh.have_variable = fresh.have_bus = fresh.bus = false;
	}
	*caps = fresh;
}

CK_RV conn_learn(struct conn *c, struct conn_memory *ret)
{
	const uint16_t *sizes;
	size_t n;
	bool has;

	if (!c->caps.have_identity)
		TRY(ask_properties(c, TPM2_PT_FIXED));
	TRY(conn_has_alg(c, TPM2_ALG_AES, &has));
	TRY(conn_has_command(c, TPM2_CC_Sign, &has));
	TRY(conn_has_curve(c, TPM2_ECC_NIST_P256, &has));
	TRY(conn_rsa_sizes(c, &sizes, &n));
	*ret = c->caps.tables;
	return CKR_OK;
}

/* Tables that this process has itself learnt are newer. */
static void recall(struct caps *caps, const struct conn_memory *memory)
{
	if (caps->have_identity || caps->have_algs || caps->have_commands || caps->have_curves || caps->have_rsa)
		return;
	caps->tables = *memory;
	caps->have_identity = caps->have_algs = caps->have_commands = caps->have_curves = caps->have_rsa = true;
}

void conn_recall(struct conn *c, const struct conn_memory *memory)
{
	if (lock_take(c->lock) != CKR_OK)
		return;
	recall(&c->caps, memory);
	lock_drop(c->lock);
}

uint64_t conn_learnt(const struct conn *c)
{
	return c->learnt;
}

/* ---- the bus ---- */

/* TPM2_PT_MANUFACTURER of TPMs without a bus that could be tapped: in the processor's firmware, or virtual. */
static const char *const busless[] = {"INTC", "AMD", "MSFT", "IBM", "GOOG", "QCOM"};

static bool is_busless(const struct conn_properties *p)
{
	for (size_t i = 0; i < ARRAY_LEN(busless); i++)
		if (strcmp(p->manufacturer_text, busless[i]) == 0)
			return true;
	return false;
}

CK_RV conn_protected(struct conn *c, bool *ret, bool *ret_sure)
{
	*ret = c->bus == BUS_PROTECTED;
	*ret_sure = true;
	if (c->bus != BUS_AUTO)
		return CKR_OK;
	if (!c->caps.have_fixed)
		TRY(ask_properties(c, TPM2_PT_FIXED));
	*ret = c->caps.have_bus ? c->caps.bus : !is_busless(&c->caps.properties);
	*ret_sure = c->caps.have_bus || *ret;
	return CKR_OK;
}

static CK_RV ask_manufacturer(struct conn *c, struct session *s, struct conn_properties *ret)
{
	TPMS_CAPABILITY_DATA data;
	const TPML_TAGGED_TPM_PROPERTY *list = &data.data.tpmProperties;

	TRY(tpm2_get_capability(c, s, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_MANUFACTURER, 1, &data));
	if (list->count > 0)
		take_property(ret, &list->tpmProperty[0]);
	return CKR_OK;
}

CK_RV conn_prove_bus(struct conn *c, const struct salt_key *salt, bool *ret)
{
	struct session s CLEANUP(session_end) = {0};
	struct conn_properties p = {0};
	CK_RV rv;

	TRY(session_start(c, SESSION_HMAC, salt, TPMA_SESSION_AUDIT, &s));
	rv = ask_manufacturer(c, &s, &p);
	if (rv != CKR_OK && (c->lost || c->late || conn_repeats(c, c->seq.action)))
		return rv;
	/* A refusal is no proof. */
	c->caps.bus = rv != CKR_OK || !is_busless(&p);
	c->caps.have_bus = true;
	*ret = c->caps.bus;
	return CKR_OK;
}
