/* SPDX-License-Identifier: Apache-2.0
 *
 * The first message each way on a connection. Internal to link. Payload of HELLO:
 *
 *   mac [32]: keyed BLAKE2b over all that follows and the plane (proof of the cluster secret)
 *   version str           <- mac and version keep their place in every major version
 *   sign_public [32]  boot_epoch u64  challenge [32]  control, bulk, gossip address [18 each]
 *   listener bool  signature [64]
 *
 * The dialler speaks first, with a random challenge; its identity is proven by the CURVE key of its
 * connection, which derives from sign_public. The listener, whose CURVE key is that of the whole
 * cluster, signs the dialler's challenge and node id.
 *
 * REFUSE: err u32, version str: why a HELLO was not accepted. The same in every major version. */
#ifndef LINK_HELLO_H
#define LINK_HELLO_H

#include "link/link.h"

#define LINK_HELLO_MAX  512u /* bytes of an encoded HELLO or REFUSE */
#define LINK_NONCE_SIZE 32u

struct link_hello {
    char version[LINK_VERSION_MAX + 1];
    uint8_t sign_public[TRUST_KEY_BYTES];
    uint8_t node[SH_NODE_ID_BYTES]; /* derived, not sent */
    uint64_t boot_epoch;
    uint8_t challenge[LINK_NONCE_SIZE]; /* listener: repeats the dialler's */
    struct link_addr control;
    struct link_addr bulk;
    struct link_addr gossip;
    bool listener;
    uint8_t signature[TRUST_SIGNATURE_BYTES];
};

/* Fills sign_public, node and boot_epoch from trust, signs (as listener, towards dialler, the node
 * id of who sent the challenge) and writes the payload; gives its size. */
size_t link_hello_encode(const struct trust *t, enum link_plane_id plane, struct link_hello *hello,
                         const uint8_t dialler[static SH_NODE_ID_BYTES],
                         uint8_t out[static LINK_HELLO_MAX]);
/* CORRUPT; DENIED: not made with the cluster secret, or for the other plane. Proves no identity. */
SH_MUST_USE enum sh_err link_hello_decode(const struct trust *t, enum link_plane_id plane,
                                          struct sh_span payload, struct link_hello *out);
/* As dialler: DENIED unless the listener signed this challenge for this agent. */
SH_MUST_USE enum sh_err link_hello_verify(const struct trust *t, enum link_plane_id plane,
                                          const struct link_hello *hello,
                                          const uint8_t challenge[static LINK_NONCE_SIZE]);
/* Version text of a HELLO of any major; "?" when it cannot be read. */
void link_hello_version(struct sh_span payload, char out[static LINK_VERSION_MAX + 1]);
/* MAJOR.MINOR are equal. */
bool link_version_fits(const char *a, const char *b);

size_t link_refuse_encode(enum sh_err err, const char *version, uint8_t out[static LINK_HELLO_MAX]);
/* CORRUPT leaves err INVALID and version "?". */
SH_MUST_USE enum sh_err link_refuse_decode(struct sh_span payload, enum sh_err *err,
                                           char version[static LINK_VERSION_MAX + 1]);

#endif
