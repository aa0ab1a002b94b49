/* SPDX-License-Identifier: Apache-2.0 */
#include "train/exchange.h"
#include "train/shelf.h"
#include "tst.h"

#include "base/rng.h"
#include "kernels/kn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the system has no memory files, or commits strictly, everything is plain memory. */
static void need_shelves(void)
{
    struct train_shelf shelf;
    EXPECT_EQ(train_shelf_open(&shelf, 1, true), SH_OK);
    bool shared = shelf.number != 0;
    train_shelf_close(&shelf);
    if (!shared) {
        SKIP("memory cannot be shared here");
    }
}

/* ---- shelves and views ---- */

TEST(a_shelf_can_be_read_by_others_and_written_by_its_owner_only)
{
    struct train_shelf shelf;
    struct train_view view;
    need_shelves();
    EXPECT_EQ(train_shelf_open(&shelf, 10000, true), SH_OK);
    EXPECT(shelf.number != 0 && shelf.fd >= 0);
    EXPECT(shelf.size >= 10000);
    EXPECT_EQ(train_view_open(&view, shelf.fd, shelf.number, shelf.size), SH_OK);
    EXPECT_EQ(view.size, shelf.size);
    shelf.at[777] = 42;
    EXPECT_EQ(view.at[777], 42);
    EXPECT(write(shelf.fd, "x", 1) < 0 && errno == EPERM);
    EXPECT(ftruncate(shelf.fd, 0) < 0 && errno == EPERM);
    EXPECT(ftruncate(shelf.fd, 100000) < 0 && errno == EPERM);
    EXPECT(fcntl(shelf.fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
    EXPECT(fallocate(shelf.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
    EXPECT(mmap(NULL, shelf.size, PROT_WRITE, MAP_SHARED, shelf.fd, 0) == MAP_FAILED);
    EXPECT(mprotect((void *)(uintptr_t)view.at, view.size, PROT_READ | PROT_WRITE) < 0);
    train_shelf_close(&shelf);
    EXPECT_EQ(view.at[777], 42); /* as long as a reader has it */
    train_view_close(&view);
    train_view_close(&view);
    train_shelf_close(&shelf);
}

TEST(memory_that_is_not_to_be_shared_is_on_no_shelf)
{
    struct train_shelf shelf;
    EXPECT_EQ(train_shelf_open(&shelf, 10000, false), SH_OK);
    EXPECT_EQ(shelf.number, 0);
    EXPECT_EQ(shelf.fd, -1);
    memset(shelf.at, 1, shelf.size);
    train_shelf_close(&shelf);
}

static const struct {
    int seals;
    off_t size;
    unsigned flags;
} bad_files[] = {
    {0, 4096, MFD_ALLOW_SEALING},
    {F_SEAL_SHRINK, 4096, MFD_ALLOW_SEALING},
    {F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, 4096, MFD_ALLOW_SEALING}, /* can shrink */
    {F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE, 4096, MFD_ALLOW_SEALING},
    {F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, 0, MFD_ALLOW_SEALING},
    {F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, 8193, MFD_ALLOW_SEALING},
    {F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, 0,
     MFD_ALLOW_SEALING | MFD_HUGETLB},
    {0, 4096, 0},
};

TEST_ROWS(a_file_that_is_not_sealed_or_too_large_is_no_shelf, bad_files)
{
    struct train_view view;
    int fd = memfd_create("bad", MFD_CLOEXEC | bad_files[tst_row].flags);
    if (fd < 0 && (bad_files[tst_row].flags & MFD_HUGETLB) != 0) {
        tst_skip("no hugetlbfs here");
    }
    EXPECT(fd >= 0);
    EXPECT(ftruncate(fd, bad_files[tst_row].size) == 0);
    int seals = bad_files[tst_row].seals;
    EXPECT(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
    EXPECT_EQ(train_view_open(&view, fd, 7, 8192), SH_ERR_INVALID);
    EXPECT(view.at == NULL);
    EXPECT(close(fd) == 0);
}

TEST(what_is_no_memory_file_is_no_shelf)
{
    struct train_view view;
    int ends[2];
    int fds[4];
    EXPECT(pipe2(ends, O_CLOEXEC) == 0);
    fds[0] = ends[0];
    fds[1] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    fds[2] = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    fds[3] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 4; i++) {
        EXPECT(fds[i] >= 0);
        EXPECT_EQ(train_view_open(&view, fds[i], 7, SIZE_MAX), SH_ERR_INVALID);
        EXPECT(close(fds[i]) == 0);
    }
    EXPECT(close(ends[1]) == 0);
    EXPECT_EQ(train_view_open(&view, -1, 7, SIZE_MAX), SH_ERR_INVALID);
}

TEST(only_what_lies_on_the_shelf_is_found_there)
{
    static const uint8_t bytes[100];
    const struct train_view view = {.at = bytes, .size = sizeof bytes, .number = 9};
    const struct train_view none = {.at = NULL};
    static const struct {
        uint64_t number;
        uint64_t place;
        size_t size;
        bool found;
    } ROWS[] = {{9, 0, 100, true},
                {9, 96, 4, true},
                {9, 97, 4, false},
                {9, 100, 1, false},
                {9, 101, 0, false},
                {9, UINT64_MAX, 2, false},
                {9, UINT64_MAX - 3, 4, false},
                {9, 1, SIZE_MAX, false},
                {8, 0, 4, false},
                {0, 0, 4, false}};
    for (size_t i = 0; i < SH_COUNT(ROWS); i++) {
        struct sh_span span = train_view_span(&view, ROWS[i].number, ROWS[i].place, ROWS[i].size);
        EXPECT_EQ(span.size, ROWS[i].found ? ROWS[i].size : 0);
        EXPECT(!ROWS[i].found || span.at == bytes + ROWS[i].place);
        EXPECT_EQ(train_view_span(&none, ROWS[i].number, ROWS[i].place, ROWS[i].size).size, 0);
    }
}

/* ---- members that exchange ---- */

enum { MEMBERS = 3, RANKS = 8, ELEMENTS = 3 * 4096 + 100, SHORTER = 5 };

enum fate { DELIVER, LOSE, MISPLACE, RENUMBER };

struct member {
    struct train_sum *sum;
    struct train_exchange *x;
};

struct gang {
    struct member member[MEMBERS];
    struct wire_member list[MEMBERS];
    uint64_t now_us;
    uint64_t generation;
    uint32_t round;
    uint32_t named; /* tensor frames without payload, delivered */
    uint32_t followed;
    enum fate fate; /* of the next frame without payload to member 0 */
    uint64_t asked; /* shelf that the last question of member 0 said it reads */
    uint32_t posted;
    uint32_t sent[MEMBERS]; /* frames over the socket to each */
    bool looking;           /* members look at each other's boards */
};

static void gang_start(struct gang *g)
{
    g->generation++;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        EXPECT_EQ(
            train_exchange_start(g->member[i].x, g->now_us, g->generation, g->list, MEMBERS, i),
            SH_OK);
    }
}

static void gang_open(struct gang *g)
{
    static const uint16_t CUTS[] = {0, 3, 6, 8};
    need_shelves();
    *g = (struct gang){.now_us = 1000};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *m = &g->member[i];
        memset(g->list[i].node, (int)i + 1, sizeof g->list[i].node);
        g->list[i].rank_lo = CUTS[i];
        g->list[i].rank_hi = CUTS[i + 1];
        EXPECT_EQ(train_sum_open(&m->sum, RANKS, ELEMENTS, 1), SH_OK);
        struct train_exchange_config config = {
            .ranks = RANKS, .elements = ELEMENTS, .shorter = SHORTER, .sum = m->sum};
        EXPECT_EQ(train_exchange_open(&m->x, &config), SH_OK);
    }
    gang_start(g);
}

static void gang_close(struct gang *g)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        train_exchange_close(g->member[i].x);
        train_sum_close(g->member[i].sum);
    }
}

/* Everyone offers its shelf to everyone, who says so or not. */
static void gang_offer(struct gang *g, bool said)
{
    for (uint32_t i = 0; i < MEMBERS * MEMBERS; i++) {
        uint32_t from = i / MEMBERS;
        uint32_t to = i % MEMBERS;
        int fd = -1;
        uint64_t number = train_exchange_shelf(g->member[from].x, &fd);
        if (from != to) {
            EXPECT(number != 0);
            EXPECT(train_exchange_offered(g->member[to].x, from, number, fd));
        }
        if (from != to && said) {
            train_exchange_taken(g->member[from].x, to, number);
        }
    }
}

static void deliver(struct gang *g, uint32_t from, uint32_t to, struct sh_span head,
                    struct sh_span body)
{
    static uint8_t frame[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES + SH_BULK_CHUNK_BYTES];
    struct wire_unit unit;
    struct round_frame header;
    struct sh_span payload;
    memcpy(frame, head.at, head.size);
    if (body.size > 0) {
        memcpy(frame + head.size, body.at, body.size);
    }
    struct sh_span whole = {.at = frame, .size = head.size + body.size};
    EXPECT_EQ(train_exchange_decode(whole, &unit, &header, &payload), SH_OK);
    bool tensor = header.kind == ROUND_FRAME_PART || header.kind == ROUND_FRAME_RESULT;
    EXPECT_EQ(payload.size, body.size);
    EXPECT_EQ(header.shelf_at != 0, tensor && body.size == 0);
    if (!tensor && from == 0) {
        g->asked = header.shelf;
    }
    if (header.shelf_at != 0 && to == 0 && g->fate != DELIVER) {
        header.shelf_at += g->fate == MISPLACE ? UINT64_C(1) << 40 : 0;
        header.shelf += g->fate == RENUMBER ? 2 : 0;
        bool lost = g->fate == LOSE;
        g->fate = DELIVER;
        if (lost) {
            return;
        }
    }
    g->named += header.shelf_at != 0;
    g->followed += tensor && header.shelf_at == 0;
    g->sent[to]++;
    train_exchange_frame(g->member[to].x, g->now_us, (uint16_t)from, &header, payload);
}

/* Carries out what there is to do; true if there was anything. */
static bool turn(struct gang *g, uint32_t i)
{
    struct train_exchange *x = g->member[i].x;
    struct train_order order;
    uint32_t posted = g->looking ? train_exchange_poll(x, g->now_us) : 0;
    bool any = posted > 0;
    g->posted += posted;
    while (train_exchange_pop(x, g->now_us, &order)) {
        static uint8_t coded[TRAIN_CODED_MAX];
        uint8_t head[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES];
        struct sh_span body;
        train_exchange_perform(x, &order, head, coded, &body);
        if (order.kind == ROUND_SEND) {
            deliver(g, i, order.action.to, (struct sh_span){.at = head, .size = sizeof head}, body);
        }
        train_exchange_done(x, g->now_us, &order);
        any = true;
    }
    return any;
}

static float leaf(const struct gang *g, uint32_t rank, uint32_t i)
{
    return (float)sh_mix64(g->round * 1000003 + rank * 100003 + i) * 1e-19f;
}

static float tree(const struct gang *g, uint32_t i)
{
    float level[RANKS];
    for (uint32_t r = 0; r < RANKS; r++) {
        level[r] = leaf(g, r, i);
    }
    for (uint32_t n = RANKS; n > 1; n /= 2) {
        for (uint32_t k = 0; k < n / 2; k++) {
            level[k] = level[2 * k] + level[2 * k + 1];
        }
    }
    return level[0];
}

static uint32_t size_of(const struct gang *g)
{
    return g->round % 3 == 2 ? SHORTER : ELEMENTS;
}

static void compute(struct gang *g, uint32_t i)
{
    struct member *m = &g->member[i];
    uint32_t size = size_of(g);
    (void)train_sum_begin(m->sum, g->list[i].rank_lo, g->list[i].rank_hi, size);
    train_exchange_begin(m->x, g->now_us, &(struct train_vector){.elements = size});
    for (uint32_t rank = g->list[i].rank_lo; rank < g->list[i].rank_hi; rank++) {
        float *vector = train_sum_take(m->sum);
        for (uint32_t k = 0; k < size; k++) {
            vector[k] = leaf(g, rank, k);
        }
        uint32_t subtree = train_sum_add(m->sum, rank, vector);
        if (subtree != UINT32_MAX) {
            train_exchange_ready(m->x, g->now_us, subtree);
        }
    }
}

/* Until there is nothing to do, and nothing was posted in the last turns either. */
static void gang_turn(struct gang *g)
{
    for (uint32_t quiet = 0; quiet < 2; quiet++) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            quiet = turn(g, i) ? 0 : quiet;
        }
    }
}

/* One round, with as many retries as it takes; how many that was. */
static uint32_t gang_round(struct gang *g)
{
    uint32_t retries = 0;
    g->round++;
    g->named = 0;
    g->followed = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        compute(g, i);
    }
    for (uint32_t i = 0; i < MEMBERS && !g->looking; i++) {
        while (!train_exchange_rest(g->member[i].x, g->now_us)) { /* what was sent too */
        }
    }
    gang_turn(g);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        while (train_exchange_result(g->member[i].x) == NULL) {
            EXPECT(retries < 10);
            retries++;
            g->now_us += 8 * TRAIN_RETRY_US;
            train_exchange_timer(g->member[i].x, g->now_us);
            gang_turn(g);
        }
        const float *result = train_exchange_result(g->member[i].x);
        for (uint32_t k = 0; k < size_of(g); k++) {
            float expected = tree(g, k);
            EXPECT_MEM(&result[k], &expected, sizeof expected);
        }
    }
    return retries;
}

TEST(frames_carry_their_payload_until_the_reader_says_that_it_reads)
{
    struct gang g;
    gang_open(&g);
    EXPECT_EQ(gang_round(&g), 0);
    EXPECT_EQ(g.named, 0);
    gang_offer(&g, false);
    EXPECT_EQ(gang_round(&g), 0);
    EXPECT_EQ(g.named, 0);
    gang_offer(&g, true);
    for (uint32_t i = 0; i < 5; i++) {
        EXPECT_EQ(gang_round(&g), 0);
        EXPECT(g.named > 0);
        EXPECT_EQ(g.followed, 0);
    }
    gang_close(&g);
}

TEST(members_that_look_at_boards_need_no_socket)
{
    struct gang g;
    gang_open(&g);
    gang_offer(&g, true);
    g.looking = true;
    for (uint32_t i = 0; i < 7; i++) {
        g.posted = 0;
        EXPECT_EQ(gang_round(&g), 0);
        EXPECT_EQ(g.named + g.followed, 0);
        EXPECT(g.posted > 0);
    }
    gang_close(&g);
}

TEST(who_is_about_to_sleep_is_told_over_the_socket_and_sees_what_came_before)
{
    struct gang g;
    gang_open(&g);
    gang_offer(&g, true);
    g.round = 1;
    compute(&g, 0);
    compute(&g, 1);
    g.looking = true;
    while (turn(&g, 0)) {
    }
    EXPECT_EQ(g.sent[1], 0);                               /* it has just begun */
    EXPECT(!train_exchange_rest(g.member[1].x, g.now_us)); /* something was there */
    EXPECT(train_exchange_rest(g.member[1].x, g.now_us));
    compute(&g, 2);
    while (turn(&g, 2)) {
    }
    EXPECT(g.sent[1] > 0);
    gang_close(&g);
}

TEST(a_member_that_still_computes_needs_no_waking)
{
    struct gang g;
    gang_open(&g);
    gang_offer(&g, true);
    (void)train_sum_begin(g.member[1].sum, g.list[1].rank_lo, g.list[1].rank_hi, ELEMENTS);
    train_exchange_begin(g.member[1].x, g.now_us, &(struct train_vector){.elements = ELEMENTS});
    EXPECT(train_exchange_rest(g.member[1].x, g.now_us));
    EXPECT(!train_exchange_is_waiting(g.member[1].x));
    compute(&g, 0);
    EXPECT(train_exchange_is_waiting(g.member[0].x));
    while (turn(&g, 0)) {
    }
    EXPECT_EQ(g.sent[1], 0);
    gang_close(&g);
}

TEST(a_result_lies_in_the_memory_of_who_made_it)
{
    struct gang g;
    gang_open(&g);
    gang_offer(&g, true);
    EXPECT_EQ(gang_round(&g), 0);
    float *made = (float *)(uintptr_t)train_exchange_result(g.member[0].x);
    const float *seen = train_exchange_result(g.member[1].x);
    EXPECT(made != seen);
    made[17] = 42;
    EXPECT_EQ(seen[17], 42.0f);
    gang_close(&g);
}

/* The board of a member, through the mapping of its owner; after its first round. */
static uint8_t *board_of(const struct gang *g, uint32_t member)
{
    const float *first = train_exchange_result(g->member[member].x);
    return (uint8_t *)(uintptr_t)first - (train_board_bytes(MEMBERS) + 4095) / 4096 * 4096;
}

static void spoil(struct sh_rng *rng, uint8_t *board)
{
    uint8_t *lane = board + 64; /* for member 0 */
    size_t from = sh_rng_below(rng, 2) == 0 ? 128 : 0;
    size_t size = sh_rng_between(rng, 1, from == 0 ? 8 : 512);
    for (size_t i = 0; i < size; i++) {
        lane[from + i] = (uint8_t)sh_rng_u64(rng);
    }
    lane[0] += (uint8_t)sh_rng_below(rng, 4);
}

TEST(whatever_a_board_says_sums_stay_right)
{
    struct sh_rng rng;
    sh_rng_init(&rng, tst_seed());
    for (uint32_t i = 0; i < 30; i++) {
        struct gang g;
        gang_open(&g);
        gang_offer(&g, true);
        g.looking = true;
        EXPECT_EQ(gang_round(&g), 0);
        uint8_t *board = board_of(&g, 1);
        for (uint32_t k = 0; k < 5; k++) {
            spoil(&rng, board);
            (void)gang_round(&g);
        }
        gang_close(&g);
    }
}

TEST(a_lost_place_is_asked_for_and_named_again)
{
    struct gang g;
    int fd = -1;
    gang_open(&g);
    gang_offer(&g, true);
    g.fate = LOSE;
    EXPECT_EQ(gang_round(&g), 1);
    EXPECT_EQ(g.followed, 0);
    EXPECT(g.asked == train_exchange_shelf(g.member[1].x, &fd) ||
           g.asked == train_exchange_shelf(g.member[2].x, &fd));
    gang_close(&g);
}

TEST(a_place_on_another_shelf_is_not_looked_for)
{
    struct gang g;
    gang_open(&g);
    gang_offer(&g, true);
    g.fate = RENUMBER;
    EXPECT_EQ(gang_round(&g), 1);
    EXPECT(g.asked != 0);
    EXPECT_EQ(g.followed, 0);
    gang_close(&g);
}

TEST(a_place_beyond_the_shelf_ends_its_use_and_the_answer_carries_its_payload)
{
    struct gang g;
    gang_open(&g);
    gang_offer(&g, true);
    g.fate = MISPLACE;
    EXPECT_EQ(gang_round(&g), 1);
    EXPECT_EQ(g.asked, 0);
    EXPECT(g.followed > 0);
    EXPECT_EQ(gang_round(&g), 0);
    EXPECT(g.followed > 0); /* from that member to this one, */
    EXPECT(g.named > 0);    /* not between the others */
    gang_close(&g);
}

TEST(a_generation_knows_no_shelf_of_an_older_one_whose_bytes_stay_as_they_are)
{
    struct gang g;
    struct train_view old;
    int fd = -1;
    gang_open(&g);
    gang_offer(&g, true);
    EXPECT_EQ(gang_round(&g), 0);
    uint64_t number = train_exchange_shelf(g.member[0].x, &fd);
    EXPECT_EQ(train_view_open(&old, fd, number, SIZE_MAX), SH_OK);
    uint8_t *then = malloc(old.size);
    EXPECT(then != NULL);
    memcpy(then, old.at, old.size);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        train_exchange_stop(g.member[i].x, g.now_us);
    }
    gang_start(&g);
    EXPECT(train_exchange_shelf(g.member[0].x, &fd) != number);
    train_exchange_taken(g.member[0].x, 1, number); /* said late */
    EXPECT_EQ(gang_round(&g), 0);
    EXPECT_EQ(g.named, 0);
    gang_offer(&g, true);
    EXPECT_EQ(gang_round(&g), 0);
    EXPECT_EQ(g.followed, 0);
    EXPECT_MEM(old.at, then, old.size);
    free(then);
    train_view_close(&old);
    gang_close(&g);
}

TEST(a_descriptor_that_is_no_shelf_is_not_taken)
{
    struct gang g;
    gang_open(&g);
    int fd = memfd_create("bad", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT(fd >= 0 && ftruncate(fd, 65536) == 0);
    EXPECT(!train_exchange_offered(g.member[0].x, 1, 5, fd));
    EXPECT(close(fd) == 0);
    EXPECT_EQ(gang_round(&g), 0);
    gang_close(&g);
}

TEST(a_member_by_itself_has_no_shelf)
{
    struct gang g;
    struct wire_member all = {.rank_lo = 0, .rank_hi = RANKS};
    int fd = 0;
    gang_open(&g);
    EXPECT_EQ(train_exchange_start(g.member[0].x, g.now_us, 2, &all, 1, 0), SH_OK);
    EXPECT_EQ(train_exchange_shelf(g.member[0].x, &fd), 0);
    EXPECT_EQ(fd, -1);
    gang_close(&g);
}
