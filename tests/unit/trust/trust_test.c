/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "base/rng.h"
#include "trust/datagram.h"
#include "trust/trust.h"
#include "tst.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char why[TRUST_WHY_MAX];

static const char *in_dir(const char *name)
{
    static char path[4][512];
    static unsigned next;
    char *out = path[next++ % 4];
    (void)snprintf(out, sizeof path[0], "%s/%s", tst_dir(), name);
    return out;
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    EXPECT(fd >= 0);
    EXPECT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    EXPECT_EQ(fchmod(fd, mode), 0);
    EXPECT_EQ(close(fd), 0);
}

static struct trust_secret secret_of(uint8_t fill)
{
    struct trust_secret secret;
    memset(secret.bytes, fill, sizeof secret.bytes);
    return secret;
}

static void ephemeral(struct trust *t, uint8_t secret_fill, uint8_t seed_fill, uint64_t epoch)
{
    struct trust_secret secret = secret_of(secret_fill);
    uint8_t seed[TRUST_KEY_BYTES];
    memset(seed, seed_fill, sizeof seed);
    trust_ephemeral(t, &secret, seed, epoch);
}

TEST(a_created_secret_is_private_and_loads_again)
{
    struct trust_secret made;
    struct trust_secret loaded;
    struct stat st;
    sh_host_init();
    const char *path = in_dir("secret");
    EXPECT_EQ(trust_secret_create(path, &made, why), SH_OK);
    EXPECT_EQ(stat(path, &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    EXPECT_EQ(trust_secret_load(path, &loaded, why), SH_OK);
    EXPECT_MEM(loaded.bytes, made.bytes, sizeof made.bytes);
    EXPECT_EQ(trust_secret_create(path, &made, why), SH_ERR_EXISTS);
    EXPECT_EQ(trust_secret_load(path, &loaded, why), SH_OK);
}

static const struct {
    const char *text;
    mode_t mode;
    enum sh_err err;
    const char *says;
} bad_secrets[] = {
    {NULL, 0, SH_ERR_NOT_FOUND, "No such file"},
    {"", 0600, SH_ERR_CORRUPT, "not a whole cluster secret"},
    {"hello\n", 0600, SH_ERR_CORRUPT, "not a whole cluster secret"},
    {"shoal1-00\n", 0600, SH_ERR_CORRUPT, "not a whole cluster secret"},
    {"shoal2-0000000000000000000000000000000000000000000000000000000000000000-00000000\n", 0600,
     SH_ERR_VERSION, "later version"},
    {"shoal1-0000000000000000000000000000000000000000000000000000000000000000-00000000\n", 0600,
     SH_ERR_CORRUPT, "not a whole cluster secret"},
    {"shoal1-00000000000000000000000000000000000000000000000000000000000000zz-00000000\n", 0600,
     SH_ERR_CORRUPT, "not a whole cluster secret"},
    {"anything\n", 0644, SH_ERR_DENIED, "chmod 600"},
    {"anything\n", 0620, SH_ERR_DENIED, "chmod 600"},
};

TEST_ROWS(a_bad_secret_file_is_refused_with_its_path_and_cause, bad_secrets)
{
    struct trust_secret secret;
    sh_host_init();
    const char *path = in_dir("secret");
    if (bad_secrets[tst_row].text != NULL) {
        write_text(path, bad_secrets[tst_row].text, bad_secrets[tst_row].mode);
    }
    EXPECT_EQ(trust_secret_load(path, &secret, why), bad_secrets[tst_row].err);
    EXPECT(strstr(why, path) != NULL);
    EXPECT(strstr(why, bad_secrets[tst_row].says) != NULL);
}

TEST(one_changed_character_of_a_secret_is_found)
{
    char text[TRUST_SECRET_TEXT];
    struct trust_secret out;
    sh_host_init();
    struct trust_secret secret = secret_of(0x5a);
    trust_secret_format(&secret, text);
    struct sh_span span = {.at = (const uint8_t *)text, .size = strlen(text)};
    EXPECT_EQ(trust_secret_parse(span, &out), SH_OK);
    for (size_t i = 0; i + 1 < span.size; i++) {
        char kept = text[i];
        text[i] = kept == '3' ? '4' : '3';
        EXPECT(trust_secret_parse(span, &out) != SH_OK);
        text[i] = kept;
    }
    for (size_t size = 0; size + 1 < span.size; size++) {
        struct sh_span cut = {.at = span.at, .size = size};
        EXPECT_EQ(trust_secret_parse(cut, &out), SH_ERR_CORRUPT);
    }
}

TEST(agents_of_one_secret_share_the_listening_key_and_nothing_else)
{
    struct trust a;
    struct trust b;
    struct trust other;
    uint8_t key[TRUST_KEY_BYTES];
    sh_host_init();
    ephemeral(&a, 1, 10, 1);
    ephemeral(&b, 1, 11, 1);
    ephemeral(&other, 2, 10, 1);
    EXPECT(trust_key_equal(a.server_public, b.server_public));
    EXPECT_MEM(a.cluster, b.cluster, sizeof a.cluster);
    EXPECT(!trust_key_equal(a.client_public, b.client_public));
    EXPECT(memcmp(a.node, b.node, sizeof a.node) != 0);
    EXPECT(!trust_key_equal(a.server_public, other.server_public));
    EXPECT(!trust_key_equal(a.gossip_key, other.gossip_key));
    EXPECT(!trust_key_equal(a.hello_key, other.hello_key));
    EXPECT(memcmp(a.cluster, other.cluster, sizeof a.cluster) != 0);
    EXPECT_MEM(a.node, other.node, sizeof a.node); /* the identity does not hang on the secret */
    EXPECT_EQ(trust_client_key(a.sign_public, key), SH_OK);
    EXPECT(trust_key_equal(key, a.client_public));
    memset(key, 0xff, sizeof key);
    EXPECT_EQ(trust_client_key(key, key), SH_ERR_CORRUPT);
}

TEST(a_signature_or_mac_over_other_bytes_is_denied)
{
    struct trust a;
    struct trust b;
    uint8_t signature[TRUST_SIGNATURE_BYTES];
    uint8_t mac[TRUST_MAC_BYTES];
    sh_host_init();
    ephemeral(&a, 1, 10, 1);
    ephemeral(&b, 2, 11, 1);
    struct sh_span said = {.at = (const uint8_t *)"said", .size = 4};
    struct sh_span sadi = {.at = (const uint8_t *)"sadi", .size = 4};
    trust_sign(&a, said, signature);
    trust_hello_mac(&a, said, mac);
    EXPECT_EQ(trust_verify(a.sign_public, said, signature), SH_OK);
    EXPECT_EQ(trust_verify(a.sign_public, sadi, signature), SH_ERR_DENIED);
    EXPECT_EQ(trust_verify(b.sign_public, said, signature), SH_ERR_DENIED);
    EXPECT_EQ(trust_hello_check(&a, said, mac), SH_OK);
    EXPECT_EQ(trust_hello_check(&a, sadi, mac), SH_ERR_DENIED);
    EXPECT_EQ(trust_hello_check(&b, said, mac), SH_ERR_DENIED);
}

TEST(a_directory_keeps_its_identity_and_counts_its_starts)
{
    struct trust first;
    struct trust again;
    struct stat st;
    uint8_t node[SH_NODE_ID_BYTES];
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    sh_host_init();
    struct trust_secret secret = secret_of(3);
    const char *dir = in_dir("data");
    EXPECT_EQ(trust_open(&first, dir, &secret, why), SH_OK);
    EXPECT_EQ(first.boot_epoch, 1);
    memcpy(node, first.node, sizeof node);
    trust_close(&first);
    EXPECT_EQ(first.sign_secret[0], 0);
    EXPECT_EQ(trust_open(&again, dir, &secret, why), SH_OK);
    EXPECT_EQ(again.boot_epoch, 2);
    EXPECT_MEM(again.node, node, sizeof node);
    EXPECT_EQ(stat(in_dir("data/identity.key"), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600);
    EXPECT_EQ(trust_dir_cluster(dir, cluster, why), SH_OK);
    EXPECT_MEM(cluster, again.cluster, sizeof cluster);
    trust_close(&again);
}

TEST(a_second_agent_on_one_directory_is_refused_also_from_another_process)
{
    struct trust t;
    struct trust second;
    int status = 0;
    sh_host_init();
    struct trust_secret secret = secret_of(3);
    const char *dir = in_dir("data");
    EXPECT_EQ(trust_open(&t, dir, &secret, why), SH_OK);
    EXPECT_EQ(trust_open(&second, dir, &secret, why), SH_ERR_IN_USE);
    EXPECT(strstr(why, dir) != NULL);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(trust_open(&second, dir, &secret, why) == SH_ERR_IN_USE ? 0 : 1);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    trust_close(&t);
    EXPECT_EQ(trust_open(&second, dir, &secret, why), SH_OK);
    EXPECT_EQ(second.boot_epoch, 2); /* the refused starts did not count */
    trust_close(&second);
}

TEST(a_directory_of_another_cluster_is_refused_naming_both)
{
    struct trust t;
    char ids[2][2 * SH_CLUSTER_ID_BYTES + 1];
    uint8_t id[SH_CLUSTER_ID_BYTES];
    sh_host_init();
    struct trust_secret secret = secret_of(3);
    struct trust_secret other = secret_of(4);
    const char *dir = in_dir("data");
    EXPECT_EQ(trust_open(&t, dir, &secret, why), SH_OK);
    trust_close(&t);
    EXPECT_EQ(trust_open(&t, dir, &other, why), SH_ERR_CLUSTER);
    trust_secret_cluster(&secret, id);
    sh_hex(ids[0], id, sizeof id);
    trust_secret_cluster(&other, id);
    sh_hex(ids[1], id, sizeof id);
    EXPECT(strstr(why, ids[0]) != NULL);
    EXPECT(strstr(why, ids[1]) != NULL);
    EXPECT_EQ(trust_open(&t, dir, &secret, why), SH_OK); /* and nothing was harmed */
    EXPECT_EQ(t.boot_epoch, 2);
    trust_close(&t);
}

static const struct {
    const char *file;
    const char *text;
    mode_t mode;
    enum sh_err err;
} damages[] = {
    {"data/cluster.id", "xyz\n", 0600, SH_ERR_CORRUPT},
    {"data/identity.key", "00\n", 0600, SH_ERR_CORRUPT},
    {"data/identity.key", "00\n", 0640, SH_ERR_DENIED},
    {"data/boot.epoch", "\n", 0600, SH_ERR_CORRUPT},
    {"data/boot.epoch", "-1\n", 0600, SH_ERR_CORRUPT},
    {"data/boot.epoch", "7 apples\n", 0600, SH_ERR_CORRUPT},
    {"data/boot.epoch", "99999999999999999999999\n", 0600, SH_ERR_CORRUPT},
};

TEST_ROWS(a_damaged_file_of_the_directory_is_named_and_releases_the_lock, damages)
{
    struct trust t;
    sh_host_init();
    struct trust_secret secret = secret_of(3);
    const char *dir = in_dir("data");
    EXPECT_EQ(trust_open(&t, dir, &secret, why), SH_OK);
    trust_close(&t);
    const char *path = in_dir(damages[tst_row].file);
    write_text(path, damages[tst_row].text, damages[tst_row].mode);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(trust_open(&t, dir, &secret, why), damages[tst_row].err);
        EXPECT(strstr(why, path) != NULL);
    }
}

TEST(a_path_that_is_no_directory_is_refused)
{
    struct trust t;
    sh_host_init();
    struct trust_secret secret = secret_of(3);
    const char *path = in_dir("file");
    write_text(path, "x", 0600);
    EXPECT_EQ(trust_open(&t, path, &secret, why), SH_ERR_INVALID);
    EXPECT(strstr(why, "not a directory") != NULL);
}

/* --- datagrams ------------------------------------------------------------------------------ */
struct receiver {
    struct trust t;
    struct trust_window windows[3];
    struct trust_replay replay;
    struct trust_sender sender;
    uint8_t out[2048];
    size_t size;
};

static void receiver_init(struct receiver *r, uint8_t secret_fill)
{
    *r = (struct receiver){0};
    ephemeral(&r->t, secret_fill, 99, 1);
    r->replay = (struct trust_replay){.windows = r->windows, .capacity = 3};
}

static enum sh_err receive(struct receiver *r, const uint8_t *bytes, size_t size)
{
    struct sh_span span = {.at = bytes, .size = size};
    return trust_unseal(&r->t, &r->replay, span, &r->sender, r->out, sizeof r->out, &r->size);
}

TEST(a_sealed_datagram_opens_once_and_names_its_sender)
{
    struct trust a;
    struct receiver r;
    uint8_t bytes[256];
    sh_host_init();
    ephemeral(&a, 1, 10, 7);
    receiver_init(&r, 1);
    struct trust_sealer sealer = trust_sealer_new();
    struct sh_span payload = {.at = (const uint8_t *)"ping", .size = 4};
    size_t size = trust_seal(&a, &sealer, payload, bytes, sizeof bytes);
    EXPECT_EQ(size, 4 + TRUST_DATAGRAM_OVERHEAD);
    EXPECT(memmem(bytes, size, "ping", 4) == NULL);
    EXPECT_EQ(receive(&r, bytes, size), SH_OK);
    EXPECT_EQ(r.size, 4);
    EXPECT_MEM(r.out, (const uint8_t *)"ping", 4);
    EXPECT_MEM(r.sender.node, a.node, sizeof a.node);
    EXPECT_EQ(r.sender.boot_epoch, 7);
    EXPECT_EQ(receive(&r, bytes, size), SH_ERR_STALE);
    size = trust_seal(&a, &sealer, (struct sh_span){0}, bytes, sizeof bytes);
    EXPECT_EQ(receive(&r, bytes, size), SH_OK);
    EXPECT_EQ(r.size, 0);
}

TEST(every_flipped_bit_and_every_truncation_of_a_datagram_is_refused)
{
    struct trust a;
    struct receiver r;
    uint8_t bytes[128];
    uint8_t clean[128];
    sh_host_init();
    ephemeral(&a, 1, 10, 7);
    receiver_init(&r, 1);
    struct trust_sealer sealer = trust_sealer_new();
    struct sh_span payload = {.at = (const uint8_t *)"payload", .size = 7};
    size_t size = trust_seal(&a, &sealer, payload, clean, sizeof clean);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        memcpy(bytes, clean, size);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        enum sh_err err = receive(&r, bytes, size);
        enum sh_err expected = bit < 16   ? SH_ERR_CORRUPT
                               : bit < 24 ? SH_ERR_VERSION
                                          : SH_ERR_DENIED;
        EXPECT_EQ(err, expected);
    }
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT(receive(&r, clean, cut) != SH_OK);
    }
    EXPECT_EQ(receive(&r, clean, size), SH_OK); /* forgeries used up nothing */
}

TEST(a_datagram_under_another_secret_is_denied)
{
    struct trust a;
    struct receiver r;
    uint8_t bytes[128];
    sh_host_init();
    ephemeral(&a, 2, 10, 7);
    receiver_init(&r, 1);
    struct trust_sealer sealer = trust_sealer_new();
    size_t size = trust_seal(&a, &sealer, (struct sh_span){0}, bytes, sizeof bytes);
    EXPECT_EQ(receive(&r, bytes, size), SH_ERR_DENIED);
}

TEST(a_window_takes_each_counter_once_in_any_order_within_its_width)
{
    struct receiver r;
    uint8_t node[SH_NODE_ID_BYTES] = {1};
    uint8_t taken[8192] = {0};
    uint64_t newest = 0;
    struct sh_rng rng;
    sh_host_init();
    receiver_init(&r, 1);
    sh_rng_init(&rng, tst_seed());
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t low = newest > 1500 ? newest - 1500 : 1;
        uint64_t high = newest + (sh_rng_chance(&rng, 1, 10) ? 60 : 3);
        uint64_t c = sh_rng_between(&rng, low, high);
        if (c >= sizeof taken) {
            break;
        }
        bool fresh = !taken[c] && (c > newest || newest - c < TRUST_WINDOW_BITS);
        enum sh_err err = trust_replay_take(&r.replay, node, 5, 6, c);
        EXPECT_EQ(err, fresh ? SH_OK : SH_ERR_STALE);
        taken[c] = taken[c] || fresh;
        newest = c > newest ? c : newest;
    }
    EXPECT(newest > 4000);
}

TEST(an_earlier_life_and_a_copy_of_a_sender_are_stale_and_a_later_life_is_taken)
{
    struct receiver r;
    uint8_t node[SH_NODE_ID_BYTES] = {1};
    sh_host_init();
    receiver_init(&r, 1);
    EXPECT_EQ(trust_replay_take(&r.replay, node, 5, 6, 900), SH_OK);
    EXPECT_EQ(trust_replay_take(&r.replay, node, 4, 6, 901), SH_ERR_STALE);
    EXPECT_EQ(trust_replay_take(&r.replay, node, 5, 7, 901), SH_ERR_STALE);
    EXPECT_EQ(trust_replay_take(&r.replay, node, 6, 1, 1), SH_OK);
    EXPECT_EQ(trust_replay_take(&r.replay, node, 5, 6, 902), SH_ERR_STALE);
    EXPECT_EQ(trust_replay_take(&r.replay, node, 6, 1, 0), SH_ERR_STALE);
}

TEST(the_sender_unheard_for_longest_is_forgotten_when_windows_run_out)
{
    struct receiver r;
    uint8_t nodes[4][SH_NODE_ID_BYTES] = {{1}, {2}, {3}, {4}};
    sh_host_init();
    receiver_init(&r, 1);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(trust_replay_take(&r.replay, nodes[i], 1, 1, 1), SH_OK);
    }
    EXPECT_EQ(trust_replay_take(&r.replay, nodes[0], 1, 1, 2), SH_OK);
    EXPECT_EQ(trust_replay_take(&r.replay, nodes[3], 1, 1, 1), SH_OK); /* forgets nodes[1] */
    EXPECT_EQ(trust_replay_take(&r.replay, nodes[0], 1, 1, 2), SH_ERR_STALE);
    EXPECT_EQ(trust_replay_take(&r.replay, nodes[2], 1, 1, 1), SH_ERR_STALE);
    EXPECT_EQ(trust_replay_take(&r.replay, nodes[1], 1, 1, 1), SH_OK);
}
