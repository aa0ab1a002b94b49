/* SPDX-License-Identifier: Apache-2.0 */
#include "copies.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define ASK_US  UINT64_C(3000000)
#define GIVE_US UINT64_C(60000000)

struct page {
    struct blob_id ids[BLOBS_ASKED_MAX];
    uint32_t count;
    uint32_t holders[BLOBS_ASKED_MAX]; /* this agent and others that answered */
    bool first[BLOBS_ASKED_MAX];       /* none of them comes before this agent */
};

static uint64_t rank(const struct blob_id *id, const uint8_t *node)
{
    uint64_t seed = sh_hash64(0, id->digest, sizeof id->digest);
    return sh_hash64(seed, node, SH_NODE_ID_BYTES);
}

static void count_holders(const struct copies_config *c, struct page *p,
                          uint8_t (*alive)[SH_NODE_ID_BYTES], size_t alive_count)
{
    bool has[BLOBS_ASKED_MAX];
    for (size_t n = 0; n < alive_count; n++) {
        if (blobs_ask_held(c->blobs, alive[n], p->ids, p->count, has, ASK_US) != SH_OK) {
            continue; /* who does not answer counts as one that has none */
        }
        for (uint32_t i = 0; i < p->count; i++) {
            p->holders[i] += has[i];
            p->first[i] =
                p->first[i] && !(has[i] && rank(&p->ids[i], alive[n]) < rank(&p->ids[i], c->me));
        }
    }
}

static enum sh_err mend_page(const struct copies_config *c, struct page *p, struct copies_done *out)
{
    uint8_t alive[BLOBS_HOLDERS_MAX][SH_NODE_ID_BYTES];
    size_t count = members_alive(c->members, alive, SH_COUNT(alive));
    uint32_t wanted = c->wanted < count + 1 ? c->wanted : (uint32_t)count + 1;
    for (uint32_t i = 0; i < p->count; i++) {
        p->holders[i] = 1;
        p->first[i] = true;
    }
    count_holders(c, p, alive, count);
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->holders[i] >= wanted || !p->first[i]) {
            continue;
        }
        out->lacking++;
        enum sh_err err = blobs_copy(c->blobs, &p->ids[i], wanted, NULL, GIVE_US);
        if (err == SH_ERR_CORRUPT) { /* what is here: a sound copy takes its place */
            uint64_t size = 0;
            err = blobs_fetch(c->blobs, &p->ids[i], &size, GIVE_US);
        }
        out->given += err == SH_OK;
        if (err == SH_ERR_CANCELLED) {
            return err;
        }
    }
    return SH_OK;
}

enum sh_err copies_pass(const struct copies_config *config, const struct garbage *named,
                        struct copies_done *out)
{
    struct page *p = calloc(1, sizeof *p);
    size_t at = 0;
    bool more = true;
    enum sh_err err = p == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    *out = (struct copies_done){.given = 0};
    while (err == SH_OK && more) {
        p->count = 0;
        do {
            more = garbage_named(named, &at, &p->ids[p->count]);
            p->count += more;
        } while (more && p->count < BLOBS_ASKED_MAX);
        err = p->count > 0 ? mend_page(config, p, out) : SH_OK;
    }
    free(p);
    return err;
}
