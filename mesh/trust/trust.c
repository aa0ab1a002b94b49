/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/trust.h"

#include "base/host/host.h"
#include "trust/file.h"
#include "trust/kdf.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(TRUST_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "CURVE keys");
_Static_assert(TRUST_KEY_BYTES == crypto_box_SECRETKEYBYTES, "CURVE keys");
_Static_assert(TRUST_KEY_BYTES == crypto_sign_SEEDBYTES, "identity seed");
_Static_assert(TRUST_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "identity");
_Static_assert(TRUST_SIGNATURE_BYTES == crypto_sign_SECRETKEYBYTES, "identity");
_Static_assert(TRUST_SIGNATURE_BYTES == crypto_sign_BYTES, "signature");

void trust_secret_cluster(const struct trust_secret *secret,
                          uint8_t out[static SH_CLUSTER_ID_BYTES])
{
    trust_kdf(secret, "shoal/1 cluster", out, SH_CLUSTER_ID_BYTES);
}

void trust_node_id(const uint8_t sign_public[static TRUST_KEY_BYTES],
                   uint8_t out[static SH_NODE_ID_BYTES])
{
    sh_blake2b(out, SH_NODE_ID_BYTES, sign_public, TRUST_KEY_BYTES);
}

enum sh_err trust_client_key(const uint8_t sign_public[static TRUST_KEY_BYTES],
                             uint8_t out[static TRUST_KEY_BYTES])
{
    return crypto_sign_ed25519_pk_to_curve25519(out, sign_public) == 0 ? SH_OK : SH_ERR_CORRUPT;
}

void trust_ephemeral(struct trust *t, const struct trust_secret *secret,
                     const uint8_t seed[static TRUST_KEY_BYTES], uint64_t boot_epoch)
{
    uint8_t server_seed[TRUST_KEY_BYTES];
    *t = (struct trust){.boot_epoch = boot_epoch, .lock_fd = -1};
    trust_secret_cluster(secret, t->cluster);
    trust_kdf(secret, "shoal/1 curve server", server_seed, sizeof server_seed);
    trust_kdf(secret, "shoal/1 gossip", t->gossip_key, sizeof t->gossip_key);
    trust_kdf(secret, "shoal/1 hello", t->hello_key, sizeof t->hello_key);
    SH_CHECK(crypto_box_seed_keypair(t->server_public, t->server_secret, server_seed) == 0);
    SH_CHECK(crypto_sign_seed_keypair(t->sign_public, t->sign_secret, seed) == 0);
    SH_CHECK(crypto_sign_ed25519_sk_to_curve25519(t->client_secret, t->sign_secret) == 0);
    SH_CHECK(trust_client_key(t->sign_public, t->client_public) == SH_OK);
    trust_node_id(t->sign_public, t->node);
    sodium_memzero(server_seed, sizeof server_seed);
}

static enum sh_err join_path(const char *dir, const char *name, char out[static PATH_MAX],
                             char why[static TRUST_WHY_MAX])
{
    int length = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    if (length < 0 || length >= PATH_MAX) {
        return trust_file_say(why, SH_ERR_LIMIT, "%s: path too long", dir);
    }
    return SH_OK;
}

static enum sh_err make_dir(const char *dir, char why[static TRUST_WHY_MAX])
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return trust_file_failed(why, dir, "create the data directory");
    }
    if (stat(dir, &st) != 0) {
        return trust_file_failed(why, dir, "look at the data directory");
    }
    return S_ISDIR(st.st_mode) ? SH_OK
                               : trust_file_say(why, SH_ERR_INVALID, "%s: not a directory", dir);
}

static enum sh_err take_lock(const char *dir, int *fd, char why[static TRUST_WHY_MAX])
{
    char path[PATH_MAX];
    enum sh_err err = join_path(dir, "lock", path, why);
    if (err != SH_OK) {
        return err;
    }
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) {
        return trust_file_failed(why, path, "open it");
    }
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
        return SH_OK;
    }
    err = errno == EWOULDBLOCK
              ? trust_file_say(why, SH_ERR_IN_USE, "%s: another agent runs on this data directory",
                               dir)
              : trust_file_failed(why, path, "lock it");
    (void)close(*fd);
    *fd = -1;
    return err;
}

/* A file that is one line of 2 * size hexadecimal digits. */
static enum sh_err read_hex(const char *path, bool private_only, uint8_t *out, size_t size,
                            char why[static TRUST_WHY_MAX])
{
    char text[TRUST_FILE_MAX];
    size_t used = 0;
    enum sh_err err = trust_file_read(path, private_only, text, &used, why);
    if (err == SH_OK && used > 0 && text[used - 1] == '\n') {
        text[used - 1] = '\0';
    }
    if (err == SH_OK && sh_unhex(out, size, text) != SH_OK) {
        err = trust_file_say(why, SH_ERR_CORRUPT, "%s: damaged: expected %zu hexadecimal digits",
                             path, 2 * size);
    }
    sodium_memzero(text, sizeof text);
    return err;
}

static enum sh_err write_hex(const char *path, const uint8_t *bytes, size_t size,
                             char why[static TRUST_WHY_MAX])
{
    char text[TRUST_FILE_MAX];
    SH_CHECK_CMP(2 * size + 2, <=, sizeof text);
    sh_hex(text, bytes, size);
    text[2 * size] = '\n';
    struct sh_span line = {.at = (const uint8_t *)text, .size = 2 * size + 1};
    enum sh_err err = trust_file_replace(path, line, why);
    sodium_memzero(text, sizeof text);
    return err;
}

enum sh_err trust_dir_cluster(const char *dir, uint8_t out[static SH_CLUSTER_ID_BYTES],
                              char why[static TRUST_WHY_MAX])
{
    char path[PATH_MAX];
    enum sh_err err = join_path(dir, "cluster.id", path, why);
    return err != SH_OK ? err : read_hex(path, false, out, SH_CLUSTER_ID_BYTES, why);
}

static enum sh_err bind_cluster(const char *dir, const uint8_t cluster[static SH_CLUSTER_ID_BYTES],
                                char why[static TRUST_WHY_MAX])
{
    uint8_t found[SH_CLUSTER_ID_BYTES];
    char path[PATH_MAX];
    enum sh_err err = trust_dir_cluster(dir, found, why);
    if (err == SH_ERR_NOT_FOUND) {
        err = join_path(dir, "cluster.id", path, why);
        return err != SH_OK ? err : write_hex(path, cluster, SH_CLUSTER_ID_BYTES, why);
    }
    if (err == SH_OK && memcmp(found, cluster, sizeof found) != 0) {
        char theirs[2 * SH_CLUSTER_ID_BYTES + 1];
        char ours[2 * SH_CLUSTER_ID_BYTES + 1];
        sh_hex(theirs, found, sizeof found);
        sh_hex(ours, cluster, SH_CLUSTER_ID_BYTES);
        err = trust_file_say(why, SH_ERR_CLUSTER,
                             "%s: belongs to cluster %s, but the secret given is of cluster %s",
                             dir, theirs, ours);
    }
    return err;
}

static enum sh_err load_identity(const char *dir, uint8_t seed[static TRUST_KEY_BYTES],
                                 char why[static TRUST_WHY_MAX])
{
    char path[PATH_MAX];
    enum sh_err err = join_path(dir, "identity.key", path, why);
    if (err != SH_OK) {
        return err;
    }
    err = read_hex(path, true, seed, TRUST_KEY_BYTES, why);
    if (err == SH_ERR_NOT_FOUND) {
        sh_random_bytes(seed, TRUST_KEY_BYTES);
        err = write_hex(path, seed, TRUST_KEY_BYTES, why);
    }
    return err;
}

static enum sh_err read_epoch(const char *path, uint64_t *epoch, char why[static TRUST_WHY_MAX])
{
    char text[TRUST_FILE_MAX];
    char *end = text;
    size_t size = 0;
    *epoch = 0;
    enum sh_err err = trust_file_read(path, false, text, &size, why);
    if (err == SH_ERR_NOT_FOUND) {
        return SH_OK; /* the first start */
    }
    if (err != SH_OK) {
        return err;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || errno != 0 || strcmp(end, "\n") != 0 ||
        value >= UINT32_MAX) {
        return trust_file_say(why, SH_ERR_CORRUPT, "%s: damaged: expected one number", path);
    }
    *epoch = value;
    return SH_OK;
}

static enum sh_err raise_epoch(const char *dir, uint64_t *epoch, char why[static TRUST_WHY_MAX])
{
    char path[PATH_MAX];
    char text[32];
    enum sh_err err = join_path(dir, "boot.epoch", path, why);
    if (err == SH_OK) {
        err = read_epoch(path, epoch, why);
    }
    if (err != SH_OK) {
        return err;
    }
    *epoch += 1;
    int length = snprintf(text, sizeof text, "%" PRIu64 "\n", *epoch);
    SH_CHECK(length > 0);
    struct sh_span line = {.at = (const uint8_t *)text, .size = (size_t)length};
    return trust_file_replace(path, line, why);
}

enum sh_err trust_open(struct trust *t, const char *dir, const struct trust_secret *secret,
                       char why[static TRUST_WHY_MAX])
{
    uint8_t seed[TRUST_KEY_BYTES];
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    uint64_t epoch = 0;
    int lock_fd = -1;
    *t = (struct trust){.lock_fd = -1};
    trust_secret_cluster(secret, cluster);
    enum sh_err err = make_dir(dir, why);
    if (err == SH_OK) {
        err = take_lock(dir, &lock_fd, why);
    }
    if (err == SH_OK) {
        err = bind_cluster(dir, cluster, why);
    }
    if (err == SH_OK) {
        err = load_identity(dir, seed, why);
    }
    if (err == SH_OK) {
        err = raise_epoch(dir, &epoch, why);
    }
    if (err == SH_OK) {
        trust_ephemeral(t, secret, seed, epoch);
        t->lock_fd = lock_fd;
    } else if (lock_fd >= 0) {
        (void)close(lock_fd);
    }
    sodium_memzero(seed, sizeof seed);
    return err;
}

void trust_close(struct trust *t)
{
    if (t->lock_fd >= 0) {
        (void)close(t->lock_fd); /* releases the flock */
    }
    sodium_memzero(t, sizeof *t);
    t->lock_fd = -1;
}

void trust_sign(const struct trust *t, struct sh_span bytes,
                uint8_t out[static TRUST_SIGNATURE_BYTES])
{
    SH_CHECK(crypto_sign_detached(out, NULL, bytes.at, bytes.size, t->sign_secret) == 0);
}

enum sh_err trust_verify(const uint8_t sign_public[static TRUST_KEY_BYTES], struct sh_span bytes,
                         const uint8_t signature[static TRUST_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, bytes.at, bytes.size, sign_public) == 0
               ? SH_OK
               : SH_ERR_DENIED;
}

void trust_hello_mac(const struct trust *t, struct sh_span bytes,
                     uint8_t out[static TRUST_MAC_BYTES])
{
    SH_CHECK(crypto_generichash(out, TRUST_MAC_BYTES, bytes.at, bytes.size, t->hello_key,
                                sizeof t->hello_key) == 0);
}

enum sh_err trust_hello_check(const struct trust *t, struct sh_span bytes,
                              const uint8_t mac[static TRUST_MAC_BYTES])
{
    uint8_t expected[TRUST_MAC_BYTES];
    trust_hello_mac(t, bytes, expected);
    return sodium_memcmp(expected, mac, sizeof expected) == 0 ? SH_OK : SH_ERR_DENIED;
}

bool trust_key_equal(const uint8_t a[static TRUST_KEY_BYTES],
                     const uint8_t b[static TRUST_KEY_BYTES])
{
    return sodium_memcmp(a, b, TRUST_KEY_BYTES) == 0;
}
