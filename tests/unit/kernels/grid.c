/* SPDX-License-Identifier: Apache-2.0 */
#include "grid.h"

#include "kernels/cuda/grid.h"
#include "tst.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GRID_TABLE_NAME "grid"
#define REGIONS_MAX     4096u

static struct {
    void *at[REGIONS_MAX];
    size_t bytes[REGIONS_MAX];
    uint32_t count;
    enum grid_order order;
    uint32_t fail_after; /* operations until one fails; 0: none will */
    bool failed;
    bool exhausted;
} grid;

void grid_order_set(enum grid_order order)
{
    grid.order = order;
}

void grid_fail(uint32_t after)
{
    grid.fail_after = after + 1;
}

void grid_exhaust(void)
{
    grid.exhausted = true;
}

uint32_t grid_regions(void)
{
    return grid.count;
}

static void grid_protect(int how)
{
    for (uint32_t i = 0; i < grid.count; i++) {
        EXPECT(mprotect(grid.at[i], grid.bytes[i], how) == 0);
    }
}

/* Between these two the table's memory can be touched. */
static void grid_enter(void)
{
    grid_protect(PROT_READ | PROT_WRITE);
    if (grid.fail_after > 0) {
        grid.fail_after--;
        grid.failed = grid.failed || grid.fail_after == 0;
    }
}

static void grid_leave(void)
{
    grid_protect(PROT_NONE);
}

static size_t grid_index(size_t i, size_t count)
{
    return grid.order == GRID_UP ? i : count - 1 - i;
}

#define KN_CELL static

#define KN_EACH(cell, type)                                                                        \
    static void cell##_run(size_t count, const type *a)                                            \
    {                                                                                              \
        grid_enter();                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            cell(grid_index(i, count), a);                                                         \
        }                                                                                          \
        grid_leave();                                                                              \
    }

#define KN_SUM(cell, type)                                                                         \
    static void cell##_run(size_t groups, const type *a)                                           \
    {                                                                                              \
        struct kn_grid_sum sum[KN_GRID_WIDTH];                                                     \
        grid_enter();                                                                              \
        for (size_t i = 0; i < groups; i++) {                                                      \
            const size_t group = grid_index(i, groups);                                            \
            for (uint32_t t = 0; t < KN_GRID_WIDTH; t++) {                                         \
                const uint32_t thread = (uint32_t)grid_index(t, KN_GRID_WIDTH);                    \
                sum[thread] = cell##_part(group, thread, a);                                       \
            }                                                                                      \
            for (uint32_t half = KN_GRID_WIDTH / 2; half >= 1; half /= 2) {                        \
                for (uint32_t t = 0; t < half; t++) {                                              \
                    kn_grid_pair(sum, (uint32_t)grid_index(t, half), half);                        \
                }                                                                                  \
            }                                                                                      \
            cell##_done(group, sum, a);                                                            \
        }                                                                                          \
        grid_leave();                                                                              \
    }

static void *grid_take(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t whole = (bytes + page) / page * page;
    if (grid.exhausted) {
        return NULL;
    }
    void *at = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(at != MAP_FAILED);
    EXPECT(grid.count < REGIONS_MAX);
    grid.at[grid.count] = at;
    grid.bytes[grid.count] = whole;
    grid.count++;
    return at;
}

static void grid_give(void *at)
{
    for (uint32_t i = 0; i < grid.count; i++) {
        if (grid.at[i] == at) {
            EXPECT(munmap(at, grid.bytes[i]) == 0);
            grid.count--;
            grid.at[i] = grid.at[grid.count];
            grid.bytes[i] = grid.bytes[grid.count];
            return;
        }
    }
    EXPECT(at == NULL);
}

static void grid_copy(void *to, const void *from, size_t bytes)
{
    grid_enter();
    memcpy(to, from, bytes);
    grid_leave();
}

static void grid_put(void *to, const void *host, size_t bytes)
{
    grid_copy(to, host, bytes);
}

static void grid_get(void *host, const void *from, size_t bytes)
{
    grid_copy(host, from, bytes);
}

static enum kn_err grid_settle(struct kn_diag *diag)
{
    if (!grid.failed) {
        return KN_OK;
    }
    grid.failed = false;
    return kn_fail(diag, KN_ERR_DEVICE, "an operation failed");
}

static const struct kn_memory grid_memory = {
    .take = grid_take,
    .give = grid_give,
    .put = grid_put,
    .get = grid_get,
    .copy = grid_copy,
    .settle = grid_settle,
};

#include "kernels/cuda/attention.inc.c"
#include "kernels/cuda/conv.inc.c"
#include "kernels/cuda/dense.inc.c"
#include "kernels/cuda/norm.inc.c"
#include "kernels/cuda/point.inc.c"
#include "kernels/cuda/pool.inc.c"
#include "kernels/cuda/sequence.inc.c"
#include "kernels/cuda/table.inc.c"

const struct kn_ops *grid_ops(void)
{
    return &grid_table;
}
