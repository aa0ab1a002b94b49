/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "tst.h"
#include "wire/frame.h"

#include <string.h>

static const uint8_t cluster[SH_CLUSTER_ID_BYTES] = {1, 2, 3, 4};

static size_t make(uint8_t *out, uint16_t type, const char *payload)
{
    frame_encode(out, type, (uint32_t)strlen(payload), cluster);
    memcpy(out + FRAME_HEADER_BYTES, payload, strlen(payload));
    return FRAME_HEADER_BYTES + strlen(payload);
}

static enum sh_err decode(const uint8_t *bytes, size_t size, struct frame_header *h,
                          struct sh_span *payload)
{
    return frame_decode((struct sh_span){.at = bytes, .size = size}, h, payload);
}

TEST(a_frame_gives_back_its_type_payload_and_cluster)
{
    uint8_t bytes[64];
    struct frame_header h;
    struct sh_span payload;
    size_t size = make(bytes, FRAME_RAFT, "entries");
    EXPECT_EQ(decode(bytes, size, &h, &payload), SH_OK);
    EXPECT_EQ(h.type, FRAME_RAFT);
    EXPECT_EQ(h.major, FRAME_MAJOR);
    EXPECT_EQ(payload.size, 7);
    EXPECT_MEM(payload.at, (const uint8_t *)"entries", 7);
    EXPECT_MEM(h.cluster, cluster, sizeof cluster);
}

TEST(the_header_bytes_of_version_one_never_change)
{
    static const uint8_t expected[FRAME_HEADER_BYTES] = {
        0x53, 0x48, 0x4f, 0x41, 1, 0, 16, 0, 0, 0, 0, 0, 2, 0, 0, 0,
        1,    2,    3,    4,    0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t bytes[64];
    (void)make(bytes, FRAME_RAFT, "ab");
    EXPECT_MEM(bytes, expected, sizeof expected);
}

TEST(every_other_length_of_a_frame_is_corrupt)
{
    uint8_t bytes[64] = {0};
    struct frame_header h;
    struct sh_span payload;
    size_t size = make(bytes, FRAME_RAFT, "entries");
    for (size_t i = 0; i <= sizeof bytes; i++) {
        if (i != size) {
            EXPECT_EQ(decode(bytes, i, &h, &payload), SH_ERR_CORRUPT);
            EXPECT_EQ(payload.size, 0);
        }
    }
    bytes[0] ^= 1;
    EXPECT_EQ(decode(bytes, size, &h, &payload), SH_ERR_CORRUPT);
}

TEST(a_frame_of_another_major_is_told_apart_from_damage)
{
    uint8_t bytes[64];
    struct frame_header h;
    struct sh_span payload;
    size_t size = make(bytes, FRAME_HELLO, "later");
    bytes[4] = 9;
    EXPECT_EQ(decode(bytes, size, &h, &payload), SH_ERR_VERSION);
    EXPECT_EQ(h.major, 9);
    EXPECT_EQ(h.type, FRAME_HELLO);
    EXPECT_EQ(payload.size, 5);
}

TEST(flags_that_are_not_known_are_ignored)
{
    uint8_t bytes[64];
    struct frame_header h;
    struct sh_span payload;
    size_t size = make(bytes, FRAME_RAFT, "x");
    bytes[11] = 0x80;
    EXPECT_EQ(decode(bytes, size, &h, &payload), SH_OK);
    EXPECT_EQ(h.flags, 0x80000000u);
}

TEST(types_are_known_by_name_and_bound_to_their_planes)
{
    EXPECT_STR(frame_type_name(FRAME_TRAIN_CHUNK), "TRAIN_CHUNK");
    EXPECT_STR(frame_type_name(0), "UNKNOWN");
    EXPECT_STR(frame_type_name(9999), "UNKNOWN");
    EXPECT(frame_type_on(FRAME_TRAIN_CHUNK, FRAME_BULK));
    EXPECT(!frame_type_on(FRAME_TRAIN_CHUNK, FRAME_CONTROL));
    EXPECT(frame_type_on(FRAME_SWIM, FRAME_GOSSIP));
    EXPECT(!frame_type_on(15, FRAME_CONTROL | FRAME_BULK | FRAME_GOSSIP));
}

TEST(random_bytes_never_decode_to_more_than_they_hold)
{
    struct sh_rng rng;
    uint8_t bytes[96];
    sh_rng_init(&rng, tst_seed());
    for (unsigned i = 0; i < 200000; i++) {
        struct frame_header h;
        struct sh_span payload;
        size_t size = (size_t)sh_rng_below(&rng, sizeof bytes + 1);
        size_t whole = make(bytes, (uint16_t)sh_rng_u64(&rng), "0123456789");
        for (unsigned flips = 0; flips < 3; flips++) {
            bytes[sh_rng_below(&rng, sizeof bytes)] = (uint8_t)sh_rng_u64(&rng);
        }
        size = sh_rng_chance(&rng, 1, 2) ? whole : size;
        enum sh_err err = decode(bytes, size, &h, &payload);
        if (err == SH_OK || err == SH_ERR_VERSION) {
            EXPECT(payload.at == bytes + FRAME_HEADER_BYTES);
            EXPECT_EQ(payload.size + FRAME_HEADER_BYTES, size);
        } else {
            EXPECT_EQ(err, SH_ERR_CORRUPT);
            EXPECT_EQ(payload.size, 0);
        }
    }
}
