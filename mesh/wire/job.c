/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/job.h"

bool wire_unit_equal(struct wire_unit a, struct wire_unit b)
{
    return a.job == b.job && a.unit == b.unit;
}

bool wire_fence_equal(struct wire_fence a, struct wire_fence b)
{
    return a.term == b.term && a.index == b.index;
}

bool wire_fence_none(struct wire_fence fence)
{
    return fence.term == 0 && fence.index == 0;
}

int wire_fence_cmp(struct wire_fence a, struct wire_fence b)
{
    if (a.term != b.term) {
        return a.term < b.term ? -1 : 1;
    }
    return a.index < b.index ? -1 : a.index > b.index;
}

static bool is_printable(const char *text)
{
    while (*text >= ' ' && *text <= '~') {
        text++;
    }
    return *text == '\0';
}

bool wire_need_ok(const struct wire_need *need)
{
    bool counts = need->ranks >= 1 && need->ranks <= SH_RANKS_MAX && need->agents_min >= 1 &&
                  need->agents_min <= need->agents_max && need->agents_min <= need->ranks &&
                  need->agents_min <= WIRE_MEMBERS_MAX;
    bool mode = need->arithmetic == WIRE_ARITHMETIC_SAME || need->arithmetic == WIRE_ARITHMETIC_ANY;
    bool level = need->sandbox <= WIRE_SANDBOX_STRICT && need->spread <= WIRE_SPREAD_PACK;
    return counts && mode && level && is_printable(need->conditions) &&
           (need->dataset[0] == '\0' || wire_name_ok(need->dataset));
}

bool wire_members_cover(const struct wire_member *members, uint32_t count, uint32_t ranks)
{
    uint32_t at = 0;
    bool ok = count >= 1 && count <= WIRE_MEMBERS_MAX;
    for (uint32_t i = 0; ok && i < count; i++) {
        ok = members[i].rank_lo == at && members[i].rank_hi > at;
        at = members[i].rank_hi;
    }
    return ok && at == ranks;
}

uint32_t wire_member_find(const struct wire_member *members, uint32_t count,
                          const uint8_t node[static SH_NODE_ID_BYTES])
{
    uint32_t at = 0;
    while (at < count && memcmp(members[at].node, node, SH_NODE_ID_BYTES) != 0) {
        at++;
    }
    return at;
}

const char *wire_cause_text(uint32_t cause)
{
    static const char *const texts[WIRE_CAUSE_COUNT] = {
#define X(number, name, text) [number] = text,
        WIRE_CAUSE_MAP(X)
#undef X
    };
    return cause < WIRE_CAUSE_COUNT ? texts[cause] : "?";
}

void wire_unit_put(struct sh_writer *w, struct wire_unit unit)
{
    sh_put_u64(w, unit.job);
    sh_put_u32(w, unit.unit);
}

struct wire_unit wire_unit_get(struct sh_reader *r)
{
    struct wire_unit unit = {.job = sh_get_u64(r)};
    unit.unit = sh_get_u32(r);
    return unit;
}

void wire_fence_put(struct sh_writer *w, struct wire_fence fence)
{
    sh_put_u64(w, fence.term);
    sh_put_u64(w, fence.index);
}

struct wire_fence wire_fence_get(struct sh_reader *r)
{
    struct wire_fence fence = {.term = sh_get_u64(r)};
    fence.index = sh_get_u64(r);
    return fence;
}

void wire_need_put(struct sh_writer *w, const struct wire_need *need)
{
    SH_CHECK(wire_need_ok(need));
    sh_put_u16(w, need->ranks);
    sh_put_u16(w, need->agents_min);
    sh_put_u16(w, need->agents_max);
    sh_put_u16(w, need->cpus);
    sh_put_u64(w, need->ram_bytes);
    sh_put_u8(w, (uint8_t)need->arithmetic);
    wire_str_put(w, need->dataset);
    sh_put_u8(w, (uint8_t)need->sandbox);
    sh_put_u8(w, need->gpus);
    sh_put_u64(w, need->gpu_bytes);
    sh_put_u64(w, need->disk_bytes);
    sh_put_u16(w, need->per_node_max);
    sh_put_u8(w, (uint8_t)need->spread);
    sh_put_str(w, need->conditions);
}

void wire_need_get(struct sh_reader *r, struct wire_need *need)
{
    *need = (struct wire_need){0};
    need->ranks = sh_get_u16(r);
    need->agents_min = sh_get_u16(r);
    need->agents_max = sh_get_u16(r);
    need->cpus = sh_get_u16(r);
    need->ram_bytes = sh_get_u64(r);
    need->arithmetic = (enum wire_arithmetic)sh_get_u8(r);
    wire_str_get(r, need->dataset, sizeof need->dataset);
    need->sandbox = (enum wire_sandbox)sh_get_u8(r);
    need->gpus = sh_get_u8(r);
    need->gpu_bytes = sh_get_u64(r);
    need->disk_bytes = sh_get_u64(r);
    need->per_node_max = sh_get_u16(r);
    need->spread = (enum wire_spread)sh_get_u8(r);
    sh_get_str(r, need->conditions, sizeof need->conditions);
}

void wire_members_put(struct sh_writer *w, const struct wire_member *members, uint32_t count)
{
    SH_CHECK_CMP(count, <=, WIRE_MEMBERS_MAX);
    sh_put_u8(w, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++) {
        SH_CHECK_CMP(members[i].rank_lo, <, members[i].rank_hi);
        sh_put_bytes(w, members[i].node, SH_NODE_ID_BYTES);
        sh_put_u16(w, members[i].rank_lo);
        sh_put_u16(w, members[i].rank_hi);
    }
}

uint32_t wire_members_get(struct sh_reader *r, struct wire_member *out)
{
    uint32_t count = sh_get_u8(r);
    if (count > WIRE_MEMBERS_MAX) {
        r->bad = true;
        count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        sh_get_bytes(r, out[i].node, SH_NODE_ID_BYTES);
        out[i].rank_lo = sh_get_u16(r);
        out[i].rank_hi = sh_get_u16(r);
        r->bad = r->bad || out[i].rank_lo >= out[i].rank_hi;
    }
    return r->bad ? 0 : count;
}

void wire_placement_put(struct sh_writer *w, const struct wire_placement *placement)
{
    wire_fence_put(w, placement->fence);
    sh_put_bytes(w, placement->class, sizeof placement->class);
    sh_put_u8(w, placement->mixed);
    wire_members_put(w, placement->members, placement->member_count);
}

void wire_placement_get(struct sh_reader *r, struct wire_placement *placement)
{
    *placement = (struct wire_placement){.fence = wire_fence_get(r)};
    sh_get_bytes(r, placement->class, sizeof placement->class);
    placement->mixed = sh_get_bool(r);
    placement->member_count = wire_members_get(r, placement->members);
}
