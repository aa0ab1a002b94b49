/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "link/hello.h"
#include "tst.h"

#include <string.h>

static void ephemeral(struct trust *t, uint8_t secret, uint8_t id)
{
    struct trust_secret key;
    uint8_t seed[TRUST_KEY_BYTES];
    sh_host_init();
    memset(key.bytes, secret, sizeof key.bytes);
    memset(seed, id, sizeof seed);
    trust_ephemeral(t, &key, seed, 3);
}

static struct link_hello hello_of(bool listener)
{
    struct link_hello h = {.version = "1.2.3", .listener = listener, .challenge = {7, 7, 7}};
    EXPECT_EQ(link_addr_parse("10.0.0.1:1", 0, &h.control), SH_OK);
    EXPECT_EQ(link_addr_parse("10.0.0.2:2", 0, &h.bulk), SH_OK);
    EXPECT_EQ(link_addr_parse("[::1]:3", 0, &h.gossip), SH_OK);
    return h;
}

static struct sh_span span(const uint8_t *bytes, size_t size)
{
    return (struct sh_span){.at = bytes, .size = size};
}

TEST(a_hello_gives_back_what_was_said)
{
    struct trust a;
    struct trust b;
    uint8_t bytes[LINK_HELLO_MAX];
    struct link_hello out;
    ephemeral(&a, 1, 10);
    ephemeral(&b, 1, 11);
    struct link_hello h = hello_of(true);
    size_t size = link_hello_encode(&a, LINK_BULK, &h, b.node, bytes);
    EXPECT_EQ(link_hello_decode(&b, LINK_BULK, span(bytes, size), &out), SH_OK);
    EXPECT_STR(out.version, "1.2.3");
    EXPECT_MEM(out.node, a.node, SH_NODE_ID_BYTES);
    EXPECT_EQ(out.boot_epoch, 3);
    EXPECT(link_addr_equal(&out.control, &h.control));
    EXPECT(link_addr_equal(&out.bulk, &h.bulk));
    EXPECT(link_addr_equal(&out.gossip, &h.gossip));
    EXPECT_EQ(link_hello_verify(&b, LINK_BULK, &out, h.challenge), SH_OK);
}

TEST(every_changed_bit_and_truncation_of_a_hello_is_refused)
{
    struct trust a;
    uint8_t bytes[LINK_HELLO_MAX];
    struct link_hello out;
    ephemeral(&a, 1, 10);
    struct link_hello h = hello_of(false);
    size_t size = link_hello_encode(&a, LINK_CONTROL, &h, a.node, bytes);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        EXPECT(link_hello_decode(&a, LINK_CONTROL, span(bytes, size), &out) != SH_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT(link_hello_decode(&a, LINK_CONTROL, span(bytes, cut), &out) != SH_OK);
    }
    EXPECT_EQ(link_hello_decode(&a, LINK_CONTROL, span(bytes, size), &out), SH_OK);
}

TEST(a_hello_of_another_plane_secret_challenge_or_addressee_is_denied)
{
    struct trust a;
    struct trust b;
    struct trust stranger;
    uint8_t bytes[LINK_HELLO_MAX];
    struct link_hello out;
    uint8_t other[LINK_NONCE_SIZE] = {1};
    ephemeral(&a, 1, 10);
    ephemeral(&b, 1, 11);
    ephemeral(&stranger, 2, 12);
    struct link_hello h = hello_of(true);
    size_t size = link_hello_encode(&a, LINK_CONTROL, &h, b.node, bytes);
    EXPECT_EQ(link_hello_decode(&b, LINK_BULK, span(bytes, size), &out), SH_ERR_DENIED);
    EXPECT_EQ(link_hello_decode(&stranger, LINK_CONTROL, span(bytes, size), &out), SH_ERR_DENIED);
    EXPECT_EQ(link_hello_decode(&b, LINK_CONTROL, span(bytes, size), &out), SH_OK);
    EXPECT_EQ(link_hello_verify(&b, LINK_CONTROL, &out, h.challenge), SH_OK);
    EXPECT_EQ(link_hello_verify(&b, LINK_CONTROL, &out, other), SH_ERR_DENIED);
    EXPECT_EQ(link_hello_verify(&a, LINK_CONTROL, &out, h.challenge), SH_ERR_DENIED);
    h = hello_of(false);
    size = link_hello_encode(&a, LINK_CONTROL, &h, b.node, bytes);
    EXPECT_EQ(link_hello_decode(&b, LINK_CONTROL, span(bytes, size), &out), SH_OK);
    EXPECT_EQ(link_hello_verify(&b, LINK_CONTROL, &out, h.challenge), SH_ERR_DENIED);
}

static const struct {
    const char *a;
    const char *b;
    bool fits;
} versions[] = {
    {"1.2.3", "1.2.3", true},  {"1.2.3", "1.2.4", true},  {"1.2", "1.2.9", true},
    {"1.2.3", "1.3.3", false}, {"1.2.3", "2.2.3", false}, {"1.2.3", "1.22.3", false},
    {"", "1.2.3", false},      {"1.2.3", "?", false},
};

TEST_ROWS(versions_fit_when_major_and_minor_are_equal, versions)
{
    EXPECT_EQ(link_version_fits(versions[tst_row].a, versions[tst_row].b), versions[tst_row].fits);
    EXPECT_EQ(link_version_fits(versions[tst_row].b, versions[tst_row].a), versions[tst_row].fits);
}

TEST(a_version_text_with_control_characters_is_made_printable)
{
    uint8_t bytes[64] = {0};
    char version[LINK_VERSION_MAX + 1];
    struct sh_writer w = sh_writer_over(bytes + TRUST_MAC_BYTES, sizeof bytes - TRUST_MAC_BYTES);
    sh_put_str(&w, "1\n\x1b[2J");
    link_hello_version(span(bytes, sizeof bytes), version);
    EXPECT_STR(version, "1??[2J");
    link_hello_version(span(bytes, 3), version);
    EXPECT_STR(version, "?");
}

TEST(a_refusal_gives_back_its_reason)
{
    uint8_t bytes[LINK_HELLO_MAX];
    char version[LINK_VERSION_MAX + 1];
    enum sh_err err = SH_OK;
    size_t size = link_refuse_encode(SH_ERR_VERSION, "2.0.0", bytes);
    EXPECT_EQ(link_refuse_decode(span(bytes, size), &err, version), SH_OK);
    EXPECT_EQ(err, SH_ERR_VERSION);
    EXPECT_STR(version, "2.0.0");
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT_EQ(link_refuse_decode(span(bytes, cut), &err, version), SH_ERR_CORRUPT);
        EXPECT_EQ(err, SH_ERR_INVALID);
        EXPECT_STR(version, "?");
    }
}
