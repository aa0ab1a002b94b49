/* SPDX-License-Identifier: Apache-2.0 */
#include "push/state.h"

static void check_out(const struct push *p, const struct push_out *out)
{
    SH_CHECK_CMP(out->to, <, p->members);
    SH_CHECK_CMP(out->to, !=, p->me);
    SH_CHECK(out->transfer > 0 && out->transfer < p->next);
    SH_CHECK_CMP(out->weight, >, 0);
    SH_CHECK(SH_IMPLIES(out->stage == PUSH_OUT_OFFERED, p->peers[out->to].reachable));
    SH_CHECK(SH_IMPLIES(p->peers[out->to].gone, out->stage == PUSH_OUT_BACK));
}

static void check_in(const struct push *p, const struct push_in *in)
{
    uint32_t got = 0;
    for (uint32_t i = 0; i <= (p->chunks - 1) / 64; i++) {
        got += (uint32_t)__builtin_popcountll(in->have[i]);
    }
    const struct push_peer *peer = &p->peers[in->from];
    SH_CHECK_CMP(in->from, <, p->members);
    SH_CHECK_CMP(in->from, !=, p->me);
    SH_CHECK_CMP(got, ==, in->got);
    SH_CHECK_CMP(in->under_way, <=, p->config.window);
    SH_CHECK((in->got < p->chunks) == (in->stage == PUSH_IN_FILLING));
    SH_CHECK((in->transfer > peer->last) == (in->stage != PUSH_IN_HELD));
    SH_CHECK(SH_IMPLIES(in->stage != PUSH_IN_HELD, !peer->gone));
    SH_CHECK(SH_IMPLIES(in->stage != PUSH_IN_HELD, !p->closed || p->heir == p->me));
}

static void check_apart(const struct push *p, uint32_t a, uint32_t b)
{
    bool out = p->out[a].stage != PUSH_OUT_FREE && p->out[b].stage != PUSH_OUT_FREE;
    bool in = p->in[a].stage != PUSH_IN_FREE && p->in[b].stage != PUSH_IN_FREE;
    in = in && p->in[a].stage != PUSH_IN_HELD && p->in[b].stage != PUSH_IN_HELD;
    SH_CHECK(!out || p->out[a].to != p->out[b].to);
    SH_CHECK(!in || p->in[a].from != p->in[b].from);
}

void push_check(const struct push *p)
{
    uint64_t split_off = 0;
    uint64_t held = 0;
    for (uint32_t i = 0; i < PUSH_BUFFERS_MAX; i++) {
        const struct push_out *out = &p->out[i];
        const struct push_in *in = &p->in[i];
        SH_CHECK(SH_IMPLIES(i >= p->config.out_max, out->stage == PUSH_OUT_FREE));
        SH_CHECK(SH_IMPLIES(i >= p->config.in_max, in->stage == PUSH_IN_FREE));
        SH_CHECK(SH_IMPLIES(!p->active, out->stage == PUSH_OUT_FREE));
        SH_CHECK(SH_IMPLIES(!p->active, in->stage == PUSH_IN_FREE));
        if (out->stage != PUSH_OUT_FREE) {
            split_off += out->weight;
            check_out(p, out);
        }
        if (in->stage != PUSH_IN_FREE) {
            held += in->stage == PUSH_IN_HELD ? in->weight : 0;
            check_in(p, in);
        }
        for (uint32_t k = 0; k < i; k++) {
            check_apart(p, k, i);
        }
    }
    if (!p->active) {
        return;
    }
    uint64_t minted = p->minted ? p->shares[p->me] * PUSH_UNIT : 0;
    SH_CHECK_CMP(minted + p->absorbed, ==, p->weight + split_off + p->given);
    SH_CHECK(SH_IMPLIES(!p->minted, p->weight + split_off + p->given + p->absorbed == 0));
    SH_CHECK_CMP(p->weight + split_off + held, <=, 2 * p->total);
}
