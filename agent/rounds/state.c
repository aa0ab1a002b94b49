/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds/state.h"

static const char MAGIC[4] = {'S', 'H', 'R', '1'};

size_t rounds_state_size(const struct rounds_state *state)
{
    return ROUNDS_STATE_HEAD + state->file.size + state->server.size + state->controls.size +
           state->records.size;
}

void rounds_state_encode(const struct rounds_state *state, uint8_t *out)
{
    struct sh_writer w = sh_writer_over(out, rounds_state_size(state));
    sh_put_bytes(&w, MAGIC, sizeof MAGIC);
    sh_put_u32(&w, 1);
    sh_put_bytes(&w, state->spec, SH_DIGEST_BYTES);
    sh_put_u64(&w, state->at.round);
    sh_put_u32(&w, state->at.skips);
    sh_put_u32(&w, state->at.scored);
    sh_put_f64(&w, state->at.best);
    sh_put_u32(&w, state->at.not_best);
    sh_put_u32(&w, state->at.end);
    sh_put_u64(&w, state->file.size);
    sh_put_u64(&w, state->server.size / sizeof(float));
    sh_put_u64(&w, state->controls.size / sizeof(float));
    sh_put_u64(&w, state->records.size);
    SH_CHECK_CMP(w.used, ==, ROUNDS_STATE_HEAD);
    sh_put_bytes(&w, state->file.at, state->file.size);
    sh_put_bytes(&w, state->server.at, state->server.size);
    sh_put_bytes(&w, state->controls.at, state->controls.size);
    sh_put_bytes(&w, state->records.at, state->records.size);
    SH_CHECK(!w.full);
}

static struct sh_span take(struct sh_reader *r, uint64_t count, size_t element)
{
    struct sh_span out = {.at = NULL};
    if (count > sh_reader_left(r) / element) {
        r->bad = true;
        return out;
    }
    out.size = (size_t)count * element;
    out.at = sh_get_room(r, out.size);
    return out;
}

enum sh_err rounds_state_decode(struct sh_span bytes, struct rounds_state *state)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    uint8_t magic[sizeof MAGIC];
    *state = (struct rounds_state){.spec = {0}};
    sh_get_bytes(&r, magic, sizeof magic);
    uint32_t version = sh_get_u32(&r);
    if (r.bad || memcmp(magic, MAGIC, sizeof magic) != 0) {
        return SH_ERR_CORRUPT;
    }
    if (version != 1) {
        return SH_ERR_VERSION;
    }
    sh_get_bytes(&r, state->spec, SH_DIGEST_BYTES);
    state->at.round = sh_get_u64(&r);
    state->at.skips = sh_get_u32(&r);
    uint32_t scored = sh_get_u32(&r);
    state->at.scored = scored == 1;
    state->at.best = sh_get_f64(&r);
    state->at.not_best = sh_get_u32(&r);
    state->at.end = sh_get_u32(&r);
    uint64_t file = sh_get_u64(&r);
    uint64_t server = sh_get_u64(&r);
    uint64_t controls = sh_get_u64(&r);
    uint64_t records = sh_get_u64(&r);
    state->file = take(&r, file, 1);
    state->server = take(&r, server, sizeof(float));
    state->controls = take(&r, controls, sizeof(float));
    state->records = take(&r, records, 1);
    r.bad = r.bad || scored > 1 || state->at.end > FED_END_STARVED || sh_reader_left(&r) > 0;
    return sh_reader_end(&r);
}
