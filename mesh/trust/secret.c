/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "trust/file.h"
#include "trust/kdf.h"
#include "trust/trust.h"

#include <sodium.h>

#include <string.h>

#define PREFIX         "shoal1-"
#define PREFIX_SIZE    (sizeof PREFIX - 1)
#define CHECKSUM_BYTES 4u
#define TEXT_SIZE      (PREFIX_SIZE + 2 * TRUST_KEY_BYTES + 1 + 2 * CHECKSUM_BYTES)

_Static_assert(TEXT_SIZE + 2 == TRUST_SECRET_TEXT, "text, newline, NUL");

/* Of the secret, so that it tells nothing else: keyed, truncated. */
static void checksum_of(const struct trust_secret *secret, char out[static 2 * CHECKSUM_BYTES + 1])
{
    uint8_t digest[TRUST_KEY_BYTES];
    trust_kdf(secret, "shoal/1 checksum", digest, sizeof digest);
    sh_hex(out, digest, CHECKSUM_BYTES);
}

void trust_secret_format(const struct trust_secret *secret, char out[static TRUST_SECRET_TEXT])
{
    memcpy(out, PREFIX, PREFIX_SIZE);
    sh_hex(out + PREFIX_SIZE, secret->bytes, sizeof secret->bytes);
    out[PREFIX_SIZE + 2 * TRUST_KEY_BYTES] = '-';
    checksum_of(secret, out + PREFIX_SIZE + 2 * TRUST_KEY_BYTES + 1);
    out[TEXT_SIZE] = '\n';
    out[TEXT_SIZE + 1] = '\0';
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct sh_span trim(struct sh_span text)
{
    while (text.size > 0 && is_space(text.at[0])) {
        text.at++;
        text.size--;
    }
    while (text.size > 0 && is_space(text.at[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* "shoal" and a number that is not ours. */
static bool is_other_version(struct sh_span text)
{
    return text.size > 5 && memcmp(text.at, PREFIX, 5) == 0 && text.at[5] >= '1' &&
           text.at[5] <= '9' && memcmp(text.at, PREFIX, PREFIX_SIZE) != 0;
}

enum sh_err trust_secret_parse(struct sh_span text, struct trust_secret *out)
{
    char copy[TEXT_SIZE + 1];
    char checksum[2 * CHECKSUM_BYTES + 1];
    text = trim(text);
    trust_secret_wipe(out);
    if (text.size >= PREFIX_SIZE && is_other_version(text)) {
        return SH_ERR_VERSION;
    }
    if (text.size != TEXT_SIZE || memcmp(text.at, PREFIX, PREFIX_SIZE) != 0) {
        return SH_ERR_CORRUPT;
    }
    memcpy(copy, text.at, TEXT_SIZE);
    copy[TEXT_SIZE] = '\0';
    char *dash = copy + PREFIX_SIZE + 2 * TRUST_KEY_BYTES;
    bool whole = *dash == '-';
    *dash = '\0';
    whole = whole && sh_unhex(out->bytes, sizeof out->bytes, copy + PREFIX_SIZE) == SH_OK;
    checksum_of(out, checksum);
    whole = whole && sodium_memcmp(checksum, dash + 1, sizeof checksum) == 0;
    sodium_memzero(copy, sizeof copy);
    if (!whole) {
        trust_secret_wipe(out);
    }
    return whole ? SH_OK : SH_ERR_CORRUPT;
}

void trust_secret_wipe(struct trust_secret *secret)
{
    sodium_memzero(secret, sizeof *secret);
}

enum sh_err trust_secret_create(const char *path, struct trust_secret *out,
                                char why[static TRUST_WHY_MAX])
{
    char text[TRUST_SECRET_TEXT];
    sh_random_bytes(out->bytes, sizeof out->bytes);
    trust_secret_format(out, text);
    struct sh_span bytes = {.at = (const uint8_t *)text, .size = strlen(text)};
    enum sh_err err = trust_file_create(path, bytes, why);
    sodium_memzero(text, sizeof text);
    if (err != SH_OK) {
        trust_secret_wipe(out);
    }
    return err;
}

enum sh_err trust_secret_load(const char *path, struct trust_secret *out,
                              char why[static TRUST_WHY_MAX])
{
    char text[TRUST_FILE_MAX];
    size_t size = 0;
    trust_secret_wipe(out);
    enum sh_err err = trust_file_read(path, true, text, &size, why);
    if (err != SH_OK) {
        return err;
    }
    err = trust_secret_parse((struct sh_span){.at = (const uint8_t *)text, .size = size}, out);
    sodium_memzero(text, sizeof text);
    if (err == SH_ERR_VERSION) {
        return trust_file_say(why, err, "%s: a cluster secret of a later version of shoal", path);
    }
    if (err != SH_OK) {
        return trust_file_say(why, err,
                              "%s: not a whole cluster secret (a line shoal1-... of %u "
                              "characters); copy the file again",
                              path, (unsigned)TEXT_SIZE);
    }
    return SH_OK;
}
