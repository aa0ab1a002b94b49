/* SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"
#include "swim/scale.h"
#include "tst.h"

#include <string.h>

static const enum swim_packet_type TYPES[] = {SWIM_PING, SWIM_ACK,    SWIM_PING_REQ,
                                              SWIM_NACK, SWIM_GOSSIP, SWIM_JOIN,
                                              SWIM_WHO,  SWIM_HASHES, SWIM_RECORDS};

static struct swim_packet packet_of(enum swim_packet_type type)
{
    struct swim_packet packet = {.type = type,
                                 .incarnation = UINT64_C(0x300000001),
                                 .fingerprint = UINT64_C(0x1122334455667788),
                                 .seq = 77,
                                 .addr = lab_addr(9),
                                 .want = UINT64_C(0x8000000000000001)};
    lab_id(4, packet.target);
    for (uint32_t i = 0; i < SWIM_BUCKETS; i++) {
        packet.bucket[i] = i + 1;
    }
    return packet;
}

static void put_claims(struct sh_writer *w)
{
    static const uint8_t meta[] = {1, 2, 3};
    struct swim_claim alive = lab_claim(1, SWIM_ALIVE, 5);
    alive.meta_version = 8;
    alive.has_meta = true;
    alive.meta = (struct sh_span){.at = meta, .size = sizeof meta};
    struct swim_claim suspect = lab_accused(2, 6, 42);
    suspect.accusers = 2;
    suspect.accuser[1] = 43;
    struct swim_claim dead = lab_claim(3, SWIM_DEAD, 7);
    dead.age_s = 99;
    EXPECT(swim_claim_put(w, &alive));
    EXPECT(swim_claim_put(w, &suspect));
    EXPECT(swim_claim_put(w, &dead));
    swim_packet_count(w, 3);
}

static void expect_claims(struct sh_reader *r)
{
    struct swim_claim claim;
    swim_claim_get(r, &claim);
    EXPECT_EQ(claim.state, SWIM_ALIVE);
    EXPECT_EQ(claim.incarnation, 5);
    EXPECT_EQ(claim.meta_version, 8);
    EXPECT_EQ(claim.meta.size, 3);
    EXPECT_MEM(claim.meta.at, "\1\2\3", 3);
    swim_claim_get(r, &claim);
    EXPECT_EQ(claim.state, SWIM_SUSPECT);
    EXPECT_EQ(claim.accusers, 2);
    EXPECT_EQ(claim.accuser[1], 43);
    swim_claim_get(r, &claim);
    EXPECT_EQ(claim.state, SWIM_DEAD);
    EXPECT_EQ(claim.age_s, 99);
    EXPECT_EQ(claim.addr.at[0], 3);
    EXPECT(!r->bad);
}

TEST_ROWS(packets_come_back_as_they_were, TYPES)
{
    uint8_t bytes[SWIM_PACKET_BYTES_MAX];
    enum swim_packet_type type = TYPES[tst_row];
    struct swim_packet packet = packet_of(type);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    swim_packet_put(&w, &packet);
    put_claims(&w);
    struct swim_packet back;
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(swim_packet_get(&r, &back), SH_OK);
    EXPECT_EQ(back.type, type);
    EXPECT_EQ(back.claims, 3);
    EXPECT_EQ(back.incarnation, packet.incarnation);
    EXPECT_EQ(back.fingerprint, packet.fingerprint);
    bool has_seq = type <= SWIM_NACK;
    bool has_target = type == SWIM_PING || type == SWIM_PING_REQ;
    EXPECT_EQ(back.seq, has_seq ? 77 : 0);
    EXPECT_EQ(back.target[0], has_target ? 4 : 0);
    EXPECT_EQ(back.addr.at[0], type == SWIM_PING_REQ ? 9 : 0);
    EXPECT_EQ(back.want, type == SWIM_RECORDS ? packet.want : 0);
    EXPECT_EQ(back.bucket[63], type == SWIM_HASHES ? 64 : 0);
    expect_claims(&r);
}

TEST_ROWS(every_truncated_packet_is_refused, TYPES)
{
    uint8_t bytes[SWIM_PACKET_BYTES_MAX];
    struct swim_packet packet = packet_of(TYPES[tst_row]);
    struct swim_packet back;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    swim_packet_put(&w, &packet);
    put_claims(&w);
    for (size_t size = 0; size < w.used; size++) {
        struct sh_reader r = sh_reader_over(bytes, size);
        EXPECT_EQ(swim_packet_get(&r, &back), SH_ERR_CORRUPT);
    }
}

struct damage {
    size_t at;
    uint8_t value;
    enum sh_err err;
};

/* Of a GOSSIP with an ALIVE claim (20), then SUSPECT (60) claims. */
static const struct damage DAMAGES[] = {
    {0, 2, SH_ERR_VERSION},   {1, 0, SH_ERR_CORRUPT},     {1, 10, SH_ERR_CORRUPT},
    {2, 4, SH_ERR_CORRUPT},   {11, 0x80, SH_ERR_CORRUPT}, {20, 0, SH_ERR_CORRUPT},
    {20, 5, SH_ERR_CORRUPT},  {44, 0xff, SH_ERR_CORRUPT}, {45, 0, SH_ERR_CORRUPT},
    {45, 33, SH_ERR_CORRUPT}, {54, 0x80, SH_ERR_CORRUPT}, {56, 3, SH_ERR_CORRUPT},
};

TEST_ROWS(a_damaged_packet_is_refused_whole, DAMAGES)
{
    uint8_t bytes[SWIM_PACKET_BYTES_MAX];
    struct swim_packet packet = packet_of(SWIM_GOSSIP);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    swim_packet_put(&w, &packet);
    put_claims(&w);
    bytes[DAMAGES[tst_row].at] = DAMAGES[tst_row].value;
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(swim_packet_get(&r, &packet), DAMAGES[tst_row].err);
    struct lab *lab = lab_new(0);
    struct swim_event event = {.kind = SWIM_EV_PACKET};
    lab_id(1, event.packet.node);
    event.packet.from = lab_addr(1);
    event.packet.bytes = (struct sh_span){.at = bytes, .size = w.used};
    lab_step(lab, event);
    EXPECT_EQ(swim_stats(lab->swim).invalid, 1);
    EXPECT_EQ(swim_counts(lab->swim).alive, 1);
    EXPECT_EQ(lab->sent_count, 0);
}

TEST(excess_bytes_of_a_later_version_are_ignored)
{
    uint8_t bytes[SWIM_PACKET_BYTES_MAX] = {0};
    struct swim_packet packet = packet_of(SWIM_ACK);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    swim_packet_put(&w, &packet);
    put_claims(&w);
    struct sh_reader r = sh_reader_over(bytes, w.used + 40);
    EXPECT_EQ(swim_packet_get(&r, &packet), SH_OK);
    expect_claims(&r);
}

TEST(a_claim_that_does_not_fit_leaves_no_trace)
{
    uint8_t bytes[128];
    struct swim_packet packet = packet_of(SWIM_GOSSIP);
    struct swim_claim claim = lab_claim(1, SWIM_ALIVE, 1);
    for (size_t size = 20; size < 55; size++) {
        struct sh_writer w = sh_writer_over(bytes, size);
        swim_packet_put(&w, &packet);
        EXPECT_EQ(w.used, 20);
        EXPECT(!swim_claim_put(&w, &claim));
        EXPECT_EQ(w.used, 20);
        EXPECT(!w.full);
    }
    struct sh_writer w = sh_writer_over(bytes, 55);
    swim_packet_put(&w, &packet);
    EXPECT(swim_claim_put(&w, &claim));
}

TEST(logarithms_are_right_within_two_thousandths)
{
    static const uint32_t rows[][3] = {/* n, 1000 log2 n, 1000 log10 n */
                                       {1, 0, 0},           {2, 1000, 301},     {3, 1585, 477},
                                       {10, 3322, 1000},    {100, 6644, 2000},  {1000, 9966, 3000},
                                       {1024, 10000, 3010}, {4096, 12000, 3612}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        EXPECT(swim_log2_milli(rows[i][0]) <= rows[i][1]);
        EXPECT(swim_log2_milli(rows[i][0]) + 2 >= rows[i][1]);
        EXPECT(swim_log10_milli(rows[i][0]) <= rows[i][2]);
        EXPECT(swim_log10_milli(rows[i][0]) + 2 >= rows[i][2]);
    }
}

TEST(a_claim_rides_three_times_per_decimal_digit_and_eight_at_least)
{
    EXPECT_EQ(swim_retransmits(1), 8);
    EXPECT_EQ(swim_retransmits(99), 8);
    EXPECT_EQ(swim_retransmits(100), 9);
    EXPECT_EQ(swim_retransmits(1000), 12);
}

TEST(suspicion_shrinks_with_accusers_from_four_times_to_once)
{
    EXPECT_EQ(swim_suspicion_us(1000, 4, 100, 1), 4000);
    EXPECT_EQ(swim_suspicion_us(1000, 4, 100, 2), 2500);
    EXPECT_EQ(swim_suspicion_us(1000, 4, 100, 3), 1624);
    EXPECT_EQ(swim_suspicion_us(1000, 4, 100, 4), 1000);
    EXPECT_EQ(swim_suspicion_us(1000, 4, 4, 1), 1000);
    EXPECT_EQ(swim_suspicion_us(1000, 4, 5, 1), 4000);
}
