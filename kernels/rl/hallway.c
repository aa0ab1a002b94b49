/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rl/hallway.h"

#include "kernels/philox.h"
#include "kernels/rl/mix.h"

#define STEP_MICRO  1000000
#define RIGHT_MICRO 1000000
#define WRONG_MICRO 100000
#define HASH_BEGIN  UINT64_C(0x68616c6c77617931) /* "hallway1": another when the rules change */
#define STREAM      0x68616c6cu

/* Words of the draw of a step; the draw of the reset is of block 0, that of step s of block s + 1.
 */
enum { WORD_CHANCE = 0, WORD_SLIP = 1, WORD_SIDE = 2 };

struct kn_hallway_config kn_hallway_default(void)
{
    return (struct kn_hallway_config){
        .width = 5, .length = 9, .steps_max = 128, .slip_per_mille = 20};
}

static enum kn_err field_verify(const char *name, uint32_t value, uint32_t low, uint32_t high,
                                struct kn_diag *diag)
{
    if (value < low || value > high) {
        return kn_fail(diag, KN_ERR_INVALID, "%s: %u, expected %u to %u", name, value, low, high);
    }
    return KN_OK;
}

enum kn_err kn_hallway_verify(const struct kn_hallway_config *c, struct kn_diag *diag)
{
    enum kn_err err = field_verify("width", c->width, 2, KN_HALLWAY_SIDE_MAX, diag);
    if (err == KN_OK) {
        err = field_verify("length", c->length, 2, KN_HALLWAY_SIDE_MAX, diag);
    }
    if (err == KN_OK) {
        err = field_verify("steps_max", c->steps_max, 1, KN_HALLWAY_STEPS_MAX, diag);
    }
    if (err == KN_OK) {
        err = field_verify("slip_per_mille", c->slip_per_mille, 0, 1000, diag);
    }
    return err;
}

static void draw(const struct kn_hallway *h, uint32_t block, uint32_t words[4])
{
    const struct kn_stream s = kn_stream_make(h->seed, (uint64_t)h->use, 0, STREAM);
    kn_stream_block(words, s, h->episode, block);
}

/* A whole number below n. */
static uint32_t below(uint32_t word, uint32_t n)
{
    return (uint32_t)((uint64_t)word * n >> 32);
}

static void note(struct kn_hallway *h, uint64_t action)
{
    const uint64_t flags = (uint64_t)h->symbol_x | (uint64_t)h->x_east << 1;
    h->hash = kn_mix64(h->hash, action << 32 | h->x << 16 | h->y);
    h->hash = kn_mix64(h->hash, (uint64_t)h->step << 32 | (uint64_t)h->end << 8 | flags);
    h->hash = kn_mix64(h->hash, (uint64_t)h->return_micro);
}

void kn_hallway_reset(struct kn_hallway *h, const struct kn_hallway_config *config, uint64_t seed,
                      enum kn_hallway_use use, uint64_t episode)
{
    uint32_t words[4];
    KN_CHECK(kn_hallway_verify(config, NULL) == KN_OK);
    *h = (struct kn_hallway){
        .config = *config, .seed = seed, .episode = episode, .use = use, .hash = HASH_BEGIN};
    draw(h, 0, words);
    h->x = below(words[0], config->width);
    h->y = below(words[1], config->length / 2);
    h->symbol_x = below(words[2], 2) == 1;
    h->x_east = below(words[3], 2) == 1;
    note(h, KN_HALLWAY_ACTIONS);
}

float kn_hallway_chance(const struct kn_hallway *h)
{
    uint32_t words[4];
    draw(h, h->step + 1, words);
    return kn_unit_float(words[WORD_CHANCE]);
}

static void move(struct kn_hallway *h, enum kn_hallway_action action)
{
    switch (action) {
    case KN_HALLWAY_NORTH:
        h->y += h->y + 1 < h->config.length ? 1 : 0;
        break;
    case KN_HALLWAY_EAST:
        h->x += h->x + 1 < h->config.width ? 1 : 0;
        break;
    case KN_HALLWAY_SOUTH:
        h->y -= h->y > 0 ? 1 : 0;
        break;
    case KN_HALLWAY_WEST:
        h->x -= h->x > 0 ? 1 : 0;
        break;
    case KN_HALLWAY_ACTIONS:
        break;
    }
}

int32_t kn_hallway_step(struct kn_hallway *h, enum kn_hallway_action action)
{
    uint32_t words[4];
    KN_CHECK(h->end == KN_HALLWAY_GOES_ON);
    KN_CHECK((uint32_t)action < KN_HALLWAY_ACTIONS);
    draw(h, h->step + 1, words);
    uint32_t way = (uint32_t)action;
    if (below(words[WORD_SLIP], 1000) < h->config.slip_per_mille) {
        way = (way + (below(words[WORD_SIDE], 2) == 1 ? 1 : 3)) % KN_HALLWAY_ACTIONS;
    }
    move(h, (enum kn_hallway_action)way);
    h->step++;
    int32_t reward = -(int32_t)(STEP_MICRO / h->config.steps_max);
    const bool east = h->x + 1 == h->config.width;
    if (h->y + 1 == h->config.length && (east || h->x == 0)) {
        const bool at_x = east == h->x_east;
        h->end = at_x == h->symbol_x ? KN_HALLWAY_RIGHT : KN_HALLWAY_WRONG;
        reward += h->end == KN_HALLWAY_RIGHT ? RIGHT_MICRO : -WRONG_MICRO;
    } else if (h->step == h->config.steps_max) {
        h->end = KN_HALLWAY_LATE;
    }
    h->return_micro += reward;
    note(h, (uint64_t)action);
    KN_CHECK(h->x < h->config.width);
    KN_CHECK(h->y < h->config.length);
    return reward;
}

uint32_t kn_hallway_views(const struct kn_hallway_config *config)
{
    return config->width * config->length * 4;
}

uint32_t kn_hallway_view(const struct kn_hallway *h)
{
    const uint32_t cell = h->y * h->config.width + h->x;
    return cell * 4 + (h->symbol_x ? 2 : 0) + (h->x_east ? 1 : 0);
}
