/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/row.h"

_Static_assert(JOBS_ROW_KEY_MAX <= SH_TABLE_KEY_MAX, "every key fits a table");
_Static_assert(1u + SH_NAME_MAX + 1u + SH_NODE_ID_BYTES + 1u <= JOBS_ROW_KEY_MAX, "holder keys");
_Static_assert(1u + SH_NAME_MAX + 1u + 4u + SH_DIGEST_BYTES + 1u <= JOBS_ROW_KEY_MAX,
               "keys of evaluations");

static void add(struct jobs_row_key *key, const void *bytes, size_t size)
{
    SH_CHECK_CMP(size, <=, sizeof key->at - key->size);
    memcpy(key->at + key->size, bytes, size);
    key->size += size;
}

static void add_u64(struct jobs_row_key *key, uint64_t number)
{
    uint8_t bytes[8];
    sh_key_u64(bytes, number);
    add(key, bytes, sizeof bytes);
}

static void add_u32(struct jobs_row_key *key, uint32_t number)
{
    uint8_t bytes[8];
    sh_key_u64(bytes, number);
    add(key, bytes + 4, 4);
}

struct sh_span jobs_row_span(const struct jobs_row_key *key)
{
    return (struct sh_span){.at = key->at, .size = key->size};
}

struct jobs_row_key jobs_row_past(struct sh_span key)
{
    struct jobs_row_key past = {.size = 0};
    add(&past, key.at, key.size);
    add(&past, "", 1);
    return past;
}

struct jobs_row_key jobs_row_beyond(const struct jobs_row_key *prefix)
{
    struct jobs_row_key beyond = *prefix;
    while (beyond.size > 0 && beyond.at[beyond.size - 1] == UINT8_MAX) {
        beyond.size--;
    }
    SH_CHECK_CMP(beyond.size, >, 0); /* every key begins with a letter */
    beyond.at[beyond.size - 1]++;
    return beyond;
}

struct jobs_row_key jobs_row_letter(char letter)
{
    struct jobs_row_key key = {.size = 0};
    add(&key, &letter, 1);
    return key;
}

struct jobs_row_key jobs_row_id(char letter, const uint8_t id[static SH_NODE_ID_BYTES])
{
    struct jobs_row_key key = jobs_row_letter(letter);
    add(&key, id, SH_NODE_ID_BYTES);
    return key;
}

struct jobs_row_key jobs_row_u64(char letter, uint64_t number)
{
    struct jobs_row_key key = jobs_row_letter(letter);
    add_u64(&key, number);
    return key;
}

/* Behind the spec of a job: what is read with it lies in the same block of the store. */
static struct jobs_row_key behind_spec(uint64_t job, char kind)
{
    struct jobs_row_key key = jobs_row_u64('s', job);
    SH_CHECK_CMP(key.size, ==, JOBS_ROW_SPEC_BYTES);
    add(&key, &kind, 1);
    return key;
}

struct jobs_row_key jobs_row_unit(char letter, struct wire_unit unit)
{
    struct jobs_row_key key =
        letter == 'u' ? behind_spec(unit.job, letter) : jobs_row_u64(letter, unit.job);
    add_u32(&key, unit.unit);
    return key;
}

struct jobs_row_key jobs_row_name(char letter, const char *name)
{
    struct jobs_row_key key = jobs_row_letter(letter);
    add(&key, name, strlen(name));
    return key;
}

struct jobs_row_key jobs_row_checkpoint(struct wire_unit unit, uint64_t index)
{
    struct jobs_row_key key = jobs_row_unit('c', unit);
    add_u64(&key, index);
    return key;
}

struct jobs_row_key jobs_row_event(uint64_t job, uint32_t seq)
{
    struct jobs_row_key key = behind_spec(job, 'e');
    add_u32(&key, seq);
    return key;
}

struct jobs_row_key jobs_row_model(const char *name, uint32_t version)
{
    struct jobs_row_key key = jobs_row_name('o', name);
    add(&key, "", 1);
    add_u32(&key, version);
    return key;
}

struct jobs_row_key jobs_row_evaluation(const char *name, uint32_t version, const uint8_t *digest)
{
    struct jobs_row_key key = jobs_row_name('V', name);
    add(&key, "", 1);
    add_u32(&key, version);
    if (digest != NULL) {
        add(&key, digest, SH_DIGEST_BYTES);
    }
    return key;
}

struct jobs_row_key jobs_row_named(const char *name)
{
    struct jobs_row_key key = jobs_row_name('k', name);
    add(&key, "", 1);
    return key;
}

struct jobs_row_key jobs_row_blob(const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct jobs_row_key key = jobs_row_letter('r');
    add(&key, digest, SH_DIGEST_BYTES);
    return key;
}

struct jobs_row_key jobs_row_holder(const char *name, const uint8_t *node)
{
    struct jobs_row_key key = jobs_row_name('p', name);
    add(&key, "", 1);
    if (node != NULL) {
        add(&key, node, SH_NODE_ID_BYTES);
    }
    return key;
}

struct jobs_row_key jobs_row_state(enum jobs_state state)
{
    struct jobs_row_key key = jobs_row_letter('b');
    uint8_t number = (uint8_t)state;
    add(&key, &number, 1);
    return key;
}

struct jobs_row_key jobs_row_then_u64(struct jobs_row_key prefix, uint64_t number)
{
    add_u64(&prefix, number);
    return prefix;
}
