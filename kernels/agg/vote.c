/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/agg/vote.h"

#include <math.h>
#include <string.h>

enum { LANES = KN_VOTE_LANES, SUMS = 8 };

static const char *const rule_names[KN_VOTE_RULES] = {
    [KN_VOTE_MEAN] = "mean",
    [KN_VOTE_MEDIAN] = "median",
    [KN_VOTE_TRIMMED_MEAN] = "trimmed_mean",
    [KN_VOTE_KRUM] = "krum",
    [KN_VOTE_MULTI_KRUM] = "multi_krum",
};

const char *kn_vote_name(enum kn_vote_rule rule)
{
    KN_CHECK((size_t)rule < KN_COUNT(rule_names));
    return rule_names[rule];
}

bool kn_vote_find(const char *name, enum kn_vote_rule *rule)
{
    for (size_t i = 0; i < KN_COUNT(rule_names); i++) {
        if (strcmp(name, rule_names[i]) == 0) {
            *rule = (enum kn_vote_rule)i;
            return true;
        }
    }
    return false;
}

const char *kn_vote_fate_text(enum kn_vote_fate fate)
{
    static const char *const texts[KN_VOTE_FATES] = {
        [KN_VOTE_KEPT] = "kept",
        [KN_VOTE_SHORTENED] = "longer than the bound",
        [KN_VOTE_OUTVOTED] = "far from the others",
        [KN_VOTE_NOT_FINITE] = "a value that is not finite",
    };
    KN_CHECK((size_t)fate < KN_COUNT(texts));
    return texts[fate];
}

static bool is_krum(enum kn_vote_rule rule)
{
    return rule == KN_VOTE_KRUM || rule == KN_VOTE_MULTI_KRUM;
}

uint32_t kn_vote_members_min(enum kn_vote_rule rule, uint32_t byzantine)
{
    KN_CHECK(byzantine <= KN_VOTE_MEMBERS_MAX);
    if (rule == KN_VOTE_MEAN) {
        return 1;
    }
    return 2 * byzantine + (is_krum(rule) ? 3 : 1);
}

enum kn_err kn_vote_verify(const struct kn_vote *vote, uint32_t members, struct kn_diag *diag)
{
    if (members > KN_VOTE_MEMBERS_MAX || vote->byzantine > KN_VOTE_MEMBERS_MAX) {
        return kn_fail(diag, KN_ERR_LIMIT, "%u members, %u of them lying: at most %u", members,
                       vote->byzantine, KN_VOTE_MEMBERS_MAX);
    }
    if (!isfinite(vote->norm_bound) || vote->norm_bound < 0) {
        return kn_fail(diag, KN_ERR_INVALID, "norm bound %g: a number above 0, or 0 for none",
                       vote->norm_bound);
    }
    uint32_t least = kn_vote_members_min(vote->rule, vote->byzantine);
    if (members < least) {
        return kn_fail(diag, KN_ERR_INVALID, "%u members: %s with %u that may lie needs %u",
                       members, kn_vote_name(vote->rule), vote->byzantine, least);
    }
    return KN_OK;
}

/* An exponent of ones in any lane: infinity or no number. */
static bool all_finite(const float *x, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

/* sum of (a - b)^2 in a fixed order: lane l takes coordinates l, l + SUMS, ... */
static double squared_distance(const float *restrict a, const float *restrict b, size_t count)
{
    double lane[SUMS] = {0};
    size_t whole = count - count % SUMS;
    for (size_t i = 0; i < whole; i += SUMS) {
        for (size_t l = 0; l < SUMS; l++) {
            double d = (double)a[i + l] - (double)b[i + l];
            lane[l] += d * d;
        }
    }
    for (size_t i = whole; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        lane[i - whole] += d * d;
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static double squared_norm(const float *a, size_t count)
{
    double sum = 0;
    for (size_t at = 0; at < count; at += LANES) {
        static const float zero[LANES];
        size_t n = count - at < LANES ? count - at : LANES;
        sum += squared_distance(a + at, zero, n);
    }
    return sum;
}

/* Blocks that stay in the first-level cache while every pair meets. */
static void add_distances(struct kn_vote_look *look, const float *const *x, size_t count)
{
    enum { BLOCK = 1024 };
    const uint32_t n = look->members;
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t size = count - at < BLOCK ? count - at : BLOCK;
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t j = i + 1; j < n; j++) {
                if (look->not_finite[i] || look->not_finite[j]) {
                    continue;
                }
                double d = squared_distance(x[i] + at, x[j] + at, size);
                look->distance[(size_t)i * n + j] += d;
                look->distance[(size_t)j * n + i] += d;
            }
        }
    }
}

void kn_vote_look(struct kn_vote_look *look, const float *const *x, size_t count)
{
    KN_CHECK(look->members <= KN_VOTE_MEMBERS_MAX);
    for (uint32_t i = 0; i < look->members; i++) {
        if (!all_finite(x[i], count)) {
            look->not_finite[i] = true;
        }
        if (!look->not_finite[i]) {
            look->square[i] += squared_norm(x[i], count);
        }
    }
    if (look->distance != NULL) {
        add_distances(look, x, count);
    }
}

void kn_vote_add(struct kn_vote_look *look, const struct kn_vote_look *other)
{
    const size_t n = look->members;
    KN_CHECK(other->members == n);
    KN_CHECK((look->distance == NULL) == (other->distance == NULL));
    for (size_t i = 0; i < n; i++) {
        look->not_finite[i] = look->not_finite[i] || other->not_finite[i];
        look->square[i] += other->square[i];
    }
    for (size_t i = 0; look->distance != NULL && i < n * n; i++) {
        look->distance[i] += other->distance[i];
    }
}

static void sift(double *heap, uint32_t at, uint32_t size)
{
    while (2 * at + 1 < size) {
        uint32_t child = 2 * at + 1;
        child += child + 1 < size && heap[child + 1] > heap[child];
        if (!(heap[child] > heap[at])) {
            return;
        }
        double lower = heap[at];
        heap[at] = heap[child];
        heap[child] = lower;
        at = child;
    }
}

static void sort_ascending(double *values, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        sift(values, i - 1, count);
    }
    for (uint32_t size = count; size > 1; size--) {
        double greatest = values[0];
        values[0] = values[size - 1];
        values[size - 1] = greatest;
        sift(values, 0, size - 1);
    }
}

/* The lower median, so that f < n / 2 long vectors do not reach it. */
static double median_norm(const struct kn_vote_look *look, double *scratch)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < look->members; i++) {
        if (!look->not_finite[i]) {
            scratch[live++] = sqrt(look->square[i]);
        }
    }
    sort_ascending(scratch, live);
    return scratch[(live - 1) / 2];
}

/* Sum of the squared distances to the nearest others, in ascending order. */
static double krum_score(const struct kn_vote_look *look, uint32_t member, uint32_t nearest,
                         double *scratch)
{
    const uint32_t n = look->members;
    uint32_t others = 0;
    for (uint32_t j = 0; j < n; j++) {
        if (j != member && !look->not_finite[j]) {
            scratch[others++] = look->distance[(size_t)member * n + j];
        }
    }
    KN_CHECK(nearest <= others);
    sort_ascending(scratch, others);
    double sum = 0;
    for (uint32_t j = 0; j < nearest; j++) {
        sum += scratch[j];
    }
    return sum;
}

/* Puts a position where it belongs; by_score false: by id alone. */
static void insert(const struct kn_vote_verdict *v, const uint64_t *id, uint32_t *order,
                   uint32_t used, uint32_t member, bool by_score)
{
    const struct kn_ballot *ballot = v->ballot;
    uint32_t at = used;
    while (at > 0) {
        uint32_t before = order[at - 1];
        bool less = by_score && ballot[member].score < ballot[before].score;
        bool more = by_score && ballot[member].score > ballot[before].score;
        if (more || (!less && id[member] > id[before])) {
            break;
        }
        order[at] = before;
        at--;
    }
    order[at] = member;
}

/* Those that may be chosen, ascending by score, then by id; the first `keep` of them stay. */
static void outvote(const struct kn_vote_look *look, const uint64_t *id, uint32_t live,
                    uint32_t keep, double *scratch, struct kn_vote_verdict *v)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < look->members; i++) {
        if (!look->not_finite[i]) {
            v->ballot[i].score = krum_score(look, i, live - v->byzantine - 2, scratch);
            insert(v, id, v->order, used, i, true);
            used++;
        }
    }
    KN_CHECK(used == live);
    for (uint32_t i = keep; i < used; i++) {
        v->ballot[v->order[i]].fate = KN_VOTE_OUTVOTED;
        v->ballot[v->order[i]].factor = 1.0f;
    }
}

static void shorten(const struct kn_vote *vote, const struct kn_vote_look *look, double *scratch,
                    struct kn_vote_verdict *v)
{
    double limit = vote->norm_bound * median_norm(look, scratch);
    for (uint32_t i = 0; i < look->members; i++) {
        if (!look->not_finite[i] && v->ballot[i].norm > limit) {
            v->ballot[i].fate = KN_VOTE_SHORTENED;
            v->ballot[i].factor = (float)(limit / v->ballot[i].norm);
        }
    }
}

enum kn_err kn_vote_judge(const struct kn_vote *vote, const struct kn_vote_look *look,
                          const uint64_t *id, double *scratch, struct kn_vote_verdict *verdict,
                          struct kn_diag *diag)
{
    uint32_t live = 0;
    KN_CHECK(look->members <= KN_VOTE_MEMBERS_MAX);
    KN_CHECK(look->distance != NULL || !is_krum(vote->rule));
    for (uint32_t i = 0; i < look->members; i++) {
        const bool bad = look->not_finite[i];
        verdict->ballot[i] = (struct kn_ballot){.factor = 1.0f, .norm = sqrt(look->square[i])};
        verdict->ballot[i].fate = bad ? KN_VOTE_NOT_FINITE : KN_VOTE_KEPT;
        verdict->ballot[i].norm = bad ? 0 : verdict->ballot[i].norm;
        live += !bad;
    }
    const uint32_t found = look->members - live;
    struct kn_vote left = *vote;
    left.byzantine = vote->byzantine > found ? vote->byzantine - found : 0;
    verdict->byzantine = left.byzantine;
    verdict->kept = 0;
    enum kn_err err = kn_vote_verify(&left, live, diag);
    if (err != KN_OK) {
        return err;
    }
    if (vote->norm_bound > 0) {
        shorten(vote, look, scratch, verdict);
    }
    if (is_krum(vote->rule)) {
        uint32_t keep = vote->rule == KN_VOTE_KRUM ? 1 : live - left.byzantine;
        outvote(look, id, live, keep, scratch, verdict);
    }
    for (uint32_t i = 0; i < look->members; i++) {
        enum kn_vote_fate fate = verdict->ballot[i].fate;
        if (fate == KN_VOTE_KEPT || fate == KN_VOTE_SHORTENED) {
            insert(verdict, id, verdict->order, verdict->kept, i, false);
            verdict->kept++;
        }
    }
    return KN_OK;
}

/* row[a][l], row[b][l] = their lesser, their greater. */
static void order_rows(float *restrict a, float *restrict b)
{
    for (size_t l = 0; l < LANES; l++) {
        float low = a[l] < b[l] ? a[l] : b[l];
        float high = a[l] < b[l] ? b[l] : a[l];
        a[l] = low;
        b[l] = high;
    }
}

/* Every lane ascending over the rows: Batcher's odd-even merge exchange (Knuth, 5.2.2, algorithm
 * M), whose comparisons do not depend on the data, so that they run over all lanes at once. */
static void sort_rows(float *rows, uint32_t n)
{
    for (uint32_t p = 1; p < n; p <<= 1) {
        for (uint32_t k = p; k >= 1; k >>= 1) {
            for (uint32_t j = k % p; j + k < n; j += 2 * k) {
                for (uint32_t i = j; i < j + k && i + k < n; i++) {
                    if (i / (2 * p) == (i + k) / (2 * p)) {
                        order_rows(rows + (size_t)i * LANES, rows + (size_t)(i + k) * LANES);
                    }
                }
            }
        }
    }
}

static void load_rows(const struct kn_vote_verdict *v, const float *const *x, size_t at,
                      size_t size, float *rows)
{
    for (uint32_t m = 0; m < v->kept; m++) {
        const uint32_t member = v->order[m];
        const float factor = v->ballot[member].factor;
        float *row = rows + (size_t)m * LANES;
        memset(row, 0, LANES * sizeof *row);
        for (size_t l = 0; l < size; l++) {
            row[l] = x[member][at + l] * factor + 0.0f; /* one zero, not two that compare equal */
        }
    }
}

static float middle(const float *rows, uint32_t n, size_t l)
{
    float low = rows[(size_t)((n - 1) / 2) * LANES + l];
    float high = rows[(size_t)(n / 2) * LANES + l];
    return n % 2 == 1 ? low : 0.5f * low + 0.5f * high;
}

/* The rows [first, last) of a lane, added in that order. */
static float mean_of(const float *rows, uint32_t first, uint32_t last, size_t l)
{
    double sum = 0;
    for (uint32_t m = first; m < last; m++) {
        sum += (double)rows[(size_t)m * LANES + l];
    }
    return (float)(sum / (double)(last - first));
}

void kn_vote_merge(const struct kn_vote *vote, const struct kn_vote_verdict *verdict,
                   const float *const *x, size_t count, float *scratch, float *out)
{
    const uint32_t n = verdict->kept;
    const bool median = vote->rule == KN_VOTE_MEDIAN;
    const bool trimmed = vote->rule == KN_VOTE_TRIMMED_MEAN;
    const uint32_t cut = trimmed ? verdict->byzantine : 0;
    KN_CHECK(n > 2 * cut);
    for (size_t at = 0; at < count; at += LANES) {
        size_t size = count - at < LANES ? count - at : LANES;
        load_rows(verdict, x, at, size, scratch);
        if (median || trimmed) {
            sort_rows(scratch, n);
        }
        for (size_t l = 0; l < size; l++) {
            out[at + l] = median ? middle(scratch, n, l) : mean_of(scratch, cut, n - cut, l);
        }
    }
}
