/* SPDX-License-Identifier: Apache-2.0 */
#include "link/hello.h"

#include <stdio.h>
#include <string.h>

#define CONTEXT    "shoal/1 hello"
#define SIGNED_MAX (LINK_HELLO_MAX + 128u)

/* What the listener signs: context, plane, who asked, and its whole statement. */
static struct sh_span signed_bytes(enum link_plane_id plane,
                                   const uint8_t dialler[static SH_NODE_ID_BYTES],
                                   const uint8_t cluster[static SH_CLUSTER_ID_BYTES],
                                   struct sh_span statement, uint8_t out[static SIGNED_MAX])
{
    struct sh_writer w = sh_writer_over(out, SIGNED_MAX);
    sh_put_bytes(&w, CONTEXT, sizeof CONTEXT);
    sh_put_u8(&w, (uint8_t)plane);
    sh_put_bytes(&w, cluster, SH_CLUSTER_ID_BYTES);
    sh_put_bytes(&w, dialler, SH_NODE_ID_BYTES);
    sh_put_bytes(&w, statement.at, statement.size);
    SH_CHECK(!w.full);
    return (struct sh_span){.at = out, .size = w.used};
}

/* Everything up to the signature. */
static struct sh_span statement_of(const struct link_hello *h, uint8_t out[static LINK_HELLO_MAX])
{
    struct sh_writer w = sh_writer_over(out, LINK_HELLO_MAX);
    sh_put_str(&w, h->version);
    sh_put_bytes(&w, h->sign_public, sizeof h->sign_public);
    sh_put_u64(&w, h->boot_epoch);
    sh_put_bytes(&w, h->challenge, sizeof h->challenge);
    link_addr_put(&w, &h->control);
    link_addr_put(&w, &h->bulk);
    link_addr_put(&w, &h->gossip);
    sh_put_u8(&w, h->listener ? 1 : 0);
    SH_CHECK(!w.full);
    return (struct sh_span){.at = out, .size = w.used};
}

static struct sh_span mac_bytes(enum link_plane_id plane, struct sh_span body,
                                uint8_t out[static SIGNED_MAX])
{
    struct sh_writer w = sh_writer_over(out, SIGNED_MAX);
    sh_put_u8(&w, (uint8_t)plane);
    sh_put_bytes(&w, body.at, body.size);
    SH_CHECK(!w.full);
    return (struct sh_span){.at = out, .size = w.used};
}

size_t link_hello_encode(const struct trust *t, enum link_plane_id plane, struct link_hello *hello,
                         const uint8_t dialler[static SH_NODE_ID_BYTES],
                         uint8_t out[static LINK_HELLO_MAX])
{
    uint8_t statement[LINK_HELLO_MAX];
    uint8_t scratch[SIGNED_MAX];
    uint8_t mac[TRUST_MAC_BYTES] = {0};
    memcpy(hello->sign_public, t->sign_public, sizeof hello->sign_public);
    memcpy(hello->node, t->node, sizeof hello->node);
    hello->boot_epoch = t->boot_epoch;
    struct sh_span said = statement_of(hello, statement);
    memset(hello->signature, 0, sizeof hello->signature);
    if (hello->listener) {
        trust_sign(t, signed_bytes(plane, dialler, t->cluster, said, scratch), hello->signature);
    }
    struct sh_writer w = sh_writer_over(out, LINK_HELLO_MAX);
    sh_put_bytes(&w, mac, sizeof mac); /* its place; the value follows below */
    sh_put_bytes(&w, said.at, said.size);
    sh_put_bytes(&w, hello->signature, sizeof hello->signature);
    SH_CHECK(!w.full);
    struct sh_span body = {.at = out + sizeof mac, .size = w.used - sizeof mac};
    trust_hello_mac(t, mac_bytes(plane, body, scratch), mac);
    memcpy(out, mac, sizeof mac);
    return w.used;
}

enum sh_err link_hello_decode(const struct trust *t, enum link_plane_id plane,
                              struct sh_span payload, struct link_hello *out)
{
    uint8_t mac[TRUST_MAC_BYTES];
    uint8_t scratch[SIGNED_MAX];
    struct sh_reader r = sh_reader_over(payload.at, payload.size);
    *out = (struct link_hello){0};
    sh_get_bytes(&r, mac, sizeof mac);
    sh_get_str(&r, out->version, sizeof out->version);
    sh_get_bytes(&r, out->sign_public, sizeof out->sign_public);
    out->boot_epoch = sh_get_u64(&r);
    sh_get_bytes(&r, out->challenge, sizeof out->challenge);
    out->control = link_addr_get(&r);
    out->bulk = link_addr_get(&r);
    out->gossip = link_addr_get(&r);
    out->listener = sh_get_bool(&r);
    sh_get_bytes(&r, out->signature, sizeof out->signature);
    if (sh_reader_end(&r) != SH_OK || payload.size > LINK_HELLO_MAX) {
        return SH_ERR_CORRUPT;
    }
    struct sh_span body = {.at = payload.at + sizeof mac, .size = payload.size - sizeof mac};
    trust_node_id(out->sign_public, out->node);
    return trust_hello_check(t, mac_bytes(plane, body, scratch), mac);
}

enum sh_err link_hello_verify(const struct trust *t, enum link_plane_id plane,
                              const struct link_hello *hello,
                              const uint8_t challenge[static LINK_NONCE_SIZE])
{
    uint8_t statement[LINK_HELLO_MAX];
    uint8_t scratch[SIGNED_MAX];
    if (!hello->listener || memcmp(hello->challenge, challenge, LINK_NONCE_SIZE) != 0) {
        return SH_ERR_DENIED;
    }
    struct sh_span said = statement_of(hello, statement);
    return trust_verify(hello->sign_public, signed_bytes(plane, t->node, t->cluster, said, scratch),
                        hello->signature);
}

/* Other programs' text goes into our lines: printable ASCII only. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        *c = (char)(*c >= ' ' && *c <= '~' ? *c : '?');
    }
}

void link_hello_version(struct sh_span payload, char out[static LINK_VERSION_MAX + 1])
{
    uint8_t mac[TRUST_MAC_BYTES];
    struct sh_reader r = sh_reader_over(payload.at, payload.size);
    sh_get_bytes(&r, mac, sizeof mac);
    sh_get_str(&r, out, LINK_VERSION_MAX + 1);
    make_printable(out);
    if (r.bad || out[0] == '\0') {
        (void)snprintf(out, LINK_VERSION_MAX + 1, "?");
    }
}

/* Characters before the second dot. */
static size_t significant(const char *version)
{
    size_t at = 0;
    unsigned dots = 0;
    for (; version[at] != '\0'; at++) {
        dots += version[at] == '.' ? 1 : 0;
        if (dots == 2) {
            break;
        }
    }
    return at;
}

bool link_version_fits(const char *a, const char *b)
{
    size_t size = significant(a);
    return size == significant(b) && memcmp(a, b, size) == 0;
}

size_t link_refuse_encode(enum sh_err err, const char *version, uint8_t out[static LINK_HELLO_MAX])
{
    struct sh_writer w = sh_writer_over(out, LINK_HELLO_MAX);
    sh_put_u32(&w, (uint32_t)err);
    sh_put_str(&w, version);
    SH_CHECK(!w.full);
    return w.used;
}

enum sh_err link_refuse_decode(struct sh_span payload, enum sh_err *err,
                               char version[static LINK_VERSION_MAX + 1])
{
    struct sh_reader r = sh_reader_over(payload.at, payload.size);
    *err = sh_err_from_u32(sh_get_u32(&r));
    sh_get_str(&r, version, LINK_VERSION_MAX + 1);
    make_printable(version);
    if (r.bad) {
        *err = SH_ERR_INVALID;
        (void)snprintf(version, LINK_VERSION_MAX + 1, "?");
    }
    return sh_reader_end(&r);
}
