/* SPDX-License-Identifier: Apache-2.0 */
#include "lab.h"
#include "tst.h"

#include <string.h>

static struct swim_packet probe_request(uint32_t target, uint32_t seq)
{
    struct swim_packet packet = {.type = SWIM_PING_REQ, .seq = seq, .addr = lab_addr(target)};
    lab_id(target, packet.target);
    return packet;
}

static void hint(struct lab *lab, uint32_t peer, enum swim_hint what)
{
    struct swim_event event = {.kind = SWIM_EV_HINT};
    lab_id(peer, event.hint.node);
    event.hint.hint = what;
    lab_step(lab, event);
}

TEST(a_probe_pings_three_times_asks_others_and_then_accuses)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *first = lab_next_probe(lab);
    uint64_t start = first->at_us;
    uint32_t to = first->to;
    lab_run(lab, 479 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_PING, to), 3);
    EXPECT_EQ(lab_get(lab, SWIM_PING, to, 1)->at_us, start + 80 * LAB_MS);
    EXPECT_EQ(lab_get(lab, SWIM_PING, to, 2)->at_us, start + 160 * LAB_MS);
    EXPECT_EQ(lab_get(lab, SWIM_PING, to, 2)->packet.seq, first->packet.seq);
    EXPECT_EQ(lab_count(lab, SWIM_PING_REQ, LAB_ANY), 3);
    EXPECT_EQ(lab_count(lab, SWIM_PING_REQ, to), 0);
    EXPECT_EQ(lab_get(lab, SWIM_PING_REQ, LAB_ANY, 0)->at_us, start + 240 * LAB_MS);
    EXPECT_EQ(lab_get(lab, SWIM_PING_REQ, LAB_ANY, 0)->packet.target[0], to);
    EXPECT_EQ(lab->control_count, 1);
    EXPECT_EQ(lab->control.node[0], to);
    EXPECT_EQ(lab_state(lab, to), SWIM_ALIVE);
    lab_run(lab, LAB_MS);
    EXPECT_EQ(lab_state(lab, to), SWIM_SUSPECT);
    EXPECT_EQ(lab->change_count, 1);
    EXPECT_EQ(lab->change[0].before, SWIM_ALIVE);
    EXPECT_EQ(lab->change[0].now, SWIM_SUSPECT);
    EXPECT(lab_told(lab, to, to, SWIM_SUSPECT) > 0); /* it hears so at once, and so do others: */
    EXPECT(lab_told(lab, LAB_ANY, to, SWIM_SUSPECT) >= 7); /* more than a gossip tick reaches */
}

TEST(an_answer_ends_the_probe)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *ping = lab_next_probe(lab);
    lab->now_us += 3 * LAB_MS;
    lab_ack(lab, ping->to, ping->packet.seq);
    lab_run(lab, 470 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_PING, ping->to), 1);
    EXPECT_EQ(lab->control_count, 0);
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    lab_id(ping->to, id);
    EXPECT(swim_find(lab->swim, id, &member));
    EXPECT(member.rtt_us > 0 && member.rtt_us <= 3001);
    EXPECT(member.rtt_high_us >= 3001); /* no sample is ever above it at once */
}

/* The only other member answers a ping after so long; what is then held for typical. */
static uint64_t typical_after(struct lab *lab, uint64_t takes_us, uint64_t *high_us)
{
    uint8_t id[SH_NODE_ID_BYTES];
    struct swim_member member;
    const struct lab_sent *ping = lab_next_probe(lab);
    lab->now_us += takes_us;
    lab_ack(lab, ping->to, ping->packet.seq);
    lab_id(ping->to, id);
    EXPECT(swim_find(lab->swim, id, &member));
    *high_us = member.rtt_high_us;
    return member.rtt_mid_us;
}

TEST(one_late_answer_does_not_move_the_typical_round_trip_but_several_do)
{
    static const uint64_t ms[] = {60, 3, 60, 60, 3, 3};
    static const uint64_t typical[] = {3, 3, 3, 60, 60, 3};
    struct lab *lab = lab_among(1);
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t high = 0;
        (void)typical_after(lab, 3 * LAB_MS, &high);
    }
    for (size_t i = 0; i < SH_COUNT(ms); i++) {
        uint64_t high = 0;
        uint64_t mid = typical_after(lab, ms[i] * LAB_MS, &high);
        EXPECT(mid >= typical[i] * LAB_MS && mid <= typical[i] * LAB_MS + 1);
        EXPECT(high >= ms[i] * LAB_MS);
    }
}

TEST(an_answer_to_another_probe_does_not_count)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *ping = lab_next_probe(lab);
    lab_ack(lab, ping->to, ping->packet.seq - 1);
    lab_run(lab, 480 * LAB_MS);
    EXPECT_EQ(lab_state(lab, ping->to), SWIM_SUSPECT);
}

TEST(an_answer_through_a_helper_saves_the_probed)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *ping = lab_next_probe(lab);
    lab_run(lab, 300 * LAB_MS);
    lab_ack(lab, lab_get(lab, SWIM_PING_REQ, LAB_ANY, 1)->to, ping->packet.seq);
    lab_run(lab, 180 * LAB_MS);
    EXPECT_EQ(lab_state(lab, ping->to), SWIM_ALIVE);
}

TEST(an_answer_over_the_control_plane_saves_the_probed)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *ping = lab_next_probe(lab);
    lab_run(lab, 300 * LAB_MS);
    struct swim_event event = {.kind = SWIM_EV_CONTROL_PONG};
    event.pong.number = lab->control.number;
    lab_id(ping->to % 6 + 1, event.pong.node);
    lab_step(lab, event); /* from somebody else: ignored */
    memcpy(event.pong.node, lab->control.node, sizeof event.pong.node);
    uint32_t failed = (uint32_t)swim_stats(lab->swim).probes_failed;
    lab_step(lab, event);
    lab_run(lab, 180 * LAB_MS);
    EXPECT_EQ(lab_state(lab, ping->to), SWIM_ALIVE);
    EXPECT_EQ(swim_stats(lab->swim).probes_failed, failed);
}

TEST(helpers_that_do_not_answer_either_speak_for_an_illness_of_this_machine)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *ping = lab_next_probe(lab);
    uint32_t to = ping->to;
    lab_run(lab, 480 * LAB_MS);
    EXPECT_EQ(swim_health(lab->swim), 3);
    lab_clear(lab);
    ping = lab_next_probe(lab);
    uint64_t start = ping->at_us;
    lab_ack(lab, ping->to, ping->packet.seq);
    EXPECT_EQ(swim_health(lab->swim), 2);
    lab_clear(lab);
    ping = lab_next_probe(lab);
    EXPECT_EQ(ping->at_us - start, 4 * 500 * LAB_MS); /* periods stretch by health + 1 */
    EXPECT_EQ(lab_state(lab, to), SWIM_SUSPECT);
}

TEST(helpers_that_say_no_clear_this_machine)
{
    struct lab *lab = lab_among(6);
    const struct lab_sent *ping = lab_next_probe(lab);
    lab_run(lab, 400 * LAB_MS);
    for (uint32_t i = 0; i < 3; i++) {
        const struct lab_sent *request = lab_get(lab, SWIM_PING_REQ, LAB_ANY, i);
        struct swim_packet nack = {.type = SWIM_NACK, .seq = ping->packet.seq};
        lab_receive(lab, request->to, nack, NULL, 0);
    }
    lab_run(lab, 80 * LAB_MS);
    EXPECT_EQ(lab_state(lab, ping->to), SWIM_SUSPECT);
    EXPECT_EQ(swim_health(lab->swim), 0);
}

TEST(a_helper_pings_and_passes_the_answer_on)
{
    struct lab *lab = lab_among(3);
    lab_receive(lab, 1, probe_request(2, 55), NULL, 0);
    const struct lab_sent *ping = lab_get(lab, SWIM_PING, 2, 0);
    EXPECT_EQ(ping->packet.target[0], 2);
    lab_ack(lab, 2, ping->packet.seq);
    EXPECT_EQ(lab_get(lab, SWIM_ACK, 1, 0)->packet.seq, 55);
    lab_run(lab, 200 * LAB_MS);
    EXPECT_EQ(lab_count(lab, SWIM_NACK, 1), 0);
}

TEST(a_helper_without_an_answer_says_so_and_still_passes_a_late_one_on)
{
    struct lab *lab = lab_among(3);
    lab_receive(lab, 1, probe_request(2, 55), NULL, 0);
    uint64_t start = lab->now_us;
    lab_run(lab, 200 * LAB_MS);
    EXPECT_EQ(lab_get(lab, SWIM_NACK, 1, 0)->packet.seq, 55);
    EXPECT_EQ(lab_get(lab, SWIM_NACK, 1, 0)->at_us, start + 150 * LAB_MS);
    lab_ack(lab, 2, lab_get(lab, SWIM_PING, 2, 0)->packet.seq);
    EXPECT_EQ(lab_get(lab, SWIM_ACK, 1, 0)->packet.seq, 55);
}

TEST(requests_beyond_the_relay_places_are_dropped)
{
    struct lab *lab = lab_among(3);
    for (uint32_t i = 0; i < 200; i++) {
        lab_receive(lab, 1, probe_request(2, i), NULL, 0);
    }
    EXPECT_EQ(lab_count(lab, SWIM_PING, 2), 64);
}

TEST(a_ping_is_answered_to_where_it_came_from)
{
    struct lab *lab = lab_among(3);
    struct swim_packet ping = {.type = SWIM_PING, .seq = 9};
    lab_id(LAB_ME, ping.target);
    lab_receive(lab, 2, ping, NULL, 0);
    EXPECT_EQ(lab_get(lab, SWIM_ACK, 2, 0)->packet.seq, 9);
    lab_id(3, ping.target); /* meant for another life at this address */
    lab_receive(lab, 2, ping, NULL, 0);
    EXPECT_EQ(lab_count(lab, SWIM_ACK, 2), 1);
    EXPECT_EQ(swim_stats(lab->swim).misrouted, 1);
}

TEST(every_member_is_probed_once_a_round)
{
    struct lab *lab = lab_among(10);
    uint32_t times[11] = {0};
    for (uint32_t i = 0; i < 30; i++) {
        const struct lab_sent *ping = lab_next_probe(lab);
        times[ping->to]++;
        lab_ack(lab, ping->to, ping->packet.seq);
        lab_clear(lab);
    }
    for (uint32_t i = 1; i <= 10; i++) {
        EXPECT(times[i] >= 2 && times[i] <= 4);
    }
}

TEST(a_refused_port_is_pinged_twice_and_suspected_after_150_ms)
{
    struct lab *lab = lab_among(6);
    uint64_t start = lab->now_us;
    hint(lab, 4, SWIM_HINT_REFUSED);
    lab_run(lab, 149 * LAB_MS);
    EXPECT_EQ(lab_get(lab, SWIM_PING, 4, 0)->at_us, start);
    EXPECT_EQ(lab_get(lab, SWIM_PING, 4, 1)->at_us, start + 75 * LAB_MS);
    EXPECT_EQ(lab_state(lab, 4), SWIM_ALIVE);
    lab_run(lab, LAB_MS);
    EXPECT_EQ(lab_state(lab, 4), SWIM_SUSPECT);
    EXPECT_EQ(swim_health(lab->swim), 0);
}

TEST(a_lost_connection_is_probed_at_once_but_with_all_patience)
{
    struct lab *lab = lab_among(6);
    uint64_t start = lab->now_us;
    hint(lab, 4, SWIM_HINT_LOST);
    EXPECT_EQ(lab_get(lab, SWIM_PING, 4, 0)->at_us, start);
    lab_run(lab, 479 * LAB_MS);
    EXPECT_EQ(lab_state(lab, 4), SWIM_ALIVE);
    EXPECT_EQ(lab->control_count > 0, true);
    lab_run(lab, LAB_MS);
    EXPECT_EQ(lab_state(lab, 4), SWIM_SUSPECT);
}

TEST(hints_about_strangers_oneself_and_the_suspected_do_nothing)
{
    struct lab *lab = lab_among(3);
    lab_tell(lab, 1, lab_accused(2, 0, 7));
    lab_clear(lab);
    hint(lab, 40, SWIM_HINT_REFUSED);
    hint(lab, LAB_ME, SWIM_HINT_REFUSED);
    hint(lab, 2, SWIM_HINT_REFUSED);
    EXPECT_EQ(lab_count(lab, SWIM_PING, LAB_ANY), 0);
}

TEST(a_hundred_hints_start_no_more_probes_than_there_are_places)
{
    struct lab *lab = lab_among(20);
    for (uint32_t i = 0; i < 100; i++) {
        hint(lab, i % 20 + 1, SWIM_HINT_LOST);
    }
    EXPECT(lab_count(lab, SWIM_PING, LAB_ANY) <= 8);
}

TEST(a_machine_that_slept_gives_the_others_the_time_it_missed)
{
    struct lab *lab = lab_among(6);
    lab_tell(lab, 1, lab_accused(2, 0, 7));
    lab_run(lab, 1000 * LAB_MS);
    EXPECT_EQ(lab_state(lab, 2), SWIM_SUSPECT);
    lab_jump(lab, UINT64_C(3600000) * LAB_MS);
    lab_step(lab, (struct swim_event){.kind = SWIM_EV_TICK});
    EXPECT_EQ(lab_state(lab, 2), SWIM_SUSPECT);
    EXPECT_EQ(swim_stats(lab->swim).stalls, 1);
    EXPECT(swim_deadline_us(lab->swim) >= lab->now_us);
    EXPECT(swim_deadline_us(lab->swim) <= lab->now_us + 500 * LAB_MS);
    lab_run(lab, 8000 * LAB_MS);
    EXPECT_EQ(lab_state(lab, 2), SWIM_DEAD);
}

TEST(a_tick_a_little_late_is_no_pause)
{
    struct lab *lab = lab_among(6);
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t due = swim_deadline_us(lab->swim);
        lab->now_us = (due > lab->now_us ? due : lab->now_us) + 199 * LAB_MS;
        lab_step(lab, (struct swim_event){.kind = SWIM_EV_TICK});
    }
    EXPECT_EQ(swim_stats(lab->swim).stalls, 0);
}
