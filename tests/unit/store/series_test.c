/* SPDX-License-Identifier: Apache-2.0 */
#include "store/series/series.h"

#include "store/kv_mem.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

static const struct kv_cf cfs[] = {{.name = "blob", .kind = KV_CF_LARGE},
                                   {.name = "series", .kind = KV_CF_TEXT}};

static struct series open_series(void)
{
    struct series s = {.cf = 1};
    EXPECT_EQ(kv_mem_open(cfs, SH_COUNT(cfs), &s.kv), SH_OK);
    return s;
}

static void write_batch(const struct series *s, struct kv_batch *batch)
{
    EXPECT_EQ(kv_write(s->kv, batch, false), SH_OK);
    kv_batch_fini(batch);
}

static void put_points(const struct series *s, uint64_t job, const char *name, uint64_t from,
                       uint64_t count, double base)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (uint64_t i = 0; i < count; i++) {
        struct series_point p = {
            .step = from + i, .value = base + (double)(from + i), .wall_us = 1000 + i};
        series_put_point(s, &batch, job, name, &p);
    }
    write_batch(s, &batch);
}

/* "3:0.5 4:1.5 " */
static const char *points(const struct series *s, uint64_t job, const char *name, uint64_t from,
                          uint32_t limit)
{
    static char text[1024];
    struct series_point out[16];
    uint32_t count = 0;
    size_t used = 0;
    text[0] = '\0';
    EXPECT_EQ(series_points(s, job, name, from, out, limit, &count), SH_OK);
    EXPECT(count <= limit);
    for (uint32_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%llu:%g ",
                                 (unsigned long long)out[i].step, out[i].value);
    }
    return text;
}

TEST(points_come_back_in_the_order_of_their_steps)
{
    struct series s = open_series();
    put_points(&s, 7, "loss", 254, 4, 0.5);
    put_points(&s, 7, "loss2", 1, 1, 0);
    put_points(&s, 7, "los", 1, 1, 0);
    put_points(&s, 8, "loss", 1, 1, 0);
    EXPECT_STR(points(&s, 7, "loss", 0, 16), "254:254.5 255:255.5 256:256.5 257:257.5 ");
    EXPECT_STR(points(&s, 7, "loss", 255, 2), "255:255.5 256:256.5 ");
    EXPECT_STR(points(&s, 7, "loss", 258, 16), "");
    EXPECT_STR(points(&s, 9, "loss", 0, 16), "");
    kv_close(s.kv);
}

TEST(the_newest_point_is_the_one_with_the_largest_step)
{
    struct series s = open_series();
    struct series_point p = {0};
    EXPECT_EQ(series_newest(&s, 7, "loss", &p), SH_ERR_NOT_FOUND);
    put_points(&s, 7, "loss2", 900, 1, 0);
    put_points(&s, 8, "loss", 900, 1, 0);
    put_points(&s, 6, "loss", 900, 1, 0);
    EXPECT_EQ(series_newest(&s, 7, "loss", &p), SH_ERR_NOT_FOUND);
    put_points(&s, 7, "loss", 254, 4, 0.5);
    put_points(&s, 7, "loss", 3, 1, 0.5);
    EXPECT_EQ(series_newest(&s, 7, "loss", &p), SH_OK);
    EXPECT_EQ(p.step, 257);
    EXPECT_EQ(p.wall_us, 1003);
    EXPECT_NEAR(p.value, 257.5, 0.0);
    put_points(&s, 7, "loss", UINT64_MAX, 1, 0);
    EXPECT_EQ(series_newest(&s, 7, "loss", &p), SH_OK);
    EXPECT_EQ(p.step, UINT64_MAX);
    kv_close(s.kv);
}

TEST(a_redone_step_overwrites)
{
    struct series s = open_series();
    put_points(&s, 7, "loss", 1, 4, 0.5);
    put_points(&s, 7, "loss", 3, 2, 100);
    EXPECT_STR(points(&s, 7, "loss", 0, 16), "1:1.5 2:2.5 3:103 4:104 ");
    kv_close(s.kv);
}

TEST(numbers_at_the_edge_of_their_range_are_kept)
{
    struct series s = open_series();
    struct series_point out;
    uint32_t count = 0;
    put_points(&s, UINT64_MAX, "\xff\xff", UINT64_MAX, 1, 0);
    put_points(&s, UINT64_MAX - 1, "a", 0, 1, 0);
    EXPECT_EQ(series_points(&s, UINT64_MAX, "\xff\xff", 0, &out, 1, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(out.step, UINT64_MAX);
    EXPECT_EQ(out.wall_us, 1000);
    kv_close(s.kv);
}

TEST(names_are_listed_once_each)
{
    struct series s = open_series();
    struct series_name names[8];
    uint32_t count = 0;
    put_points(&s, 7, "loss", 1, 3, 0);
    put_points(&s, 7, "accuracy", UINT64_MAX - 1, 2, 0);
    put_points(&s, 7, "lr", 1, 3, 0);
    put_points(&s, 6, "other", 1, 1, 0);
    put_points(&s, 8, "other", 1, 1, 0);
    EXPECT_EQ(series_names(&s, 7, names, 8, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_STR(names[0].text, "lr");
    EXPECT_STR(names[1].text, "loss");
    EXPECT_STR(names[2].text, "accuracy");
    EXPECT_EQ(series_names(&s, 7, names, 2, &count), SH_OK);
    EXPECT_EQ(count, 2);
    kv_close(s.kv);
}

static void put_lines(const struct series *s, uint64_t job, uint64_t from, const char *const *lines,
                      size_t count)
{
    struct kv_batch batch;
    kv_batch_init(&batch);
    for (size_t i = 0; i < count; i++) {
        struct series_row row = {
            .seq = from + i, .wall_us = 5, .text = KV_SPAN(lines[i], strlen(lines[i]))};
        series_put_line(s, &batch, job, &row);
    }
    write_batch(s, &batch);
}

TEST(lines_of_one_job_are_read_from_a_sequence_number_on)
{
    static const char *const lines[] = {"first", "", "third"};
    struct series s = open_series();
    struct series_row out[4];
    char buffer[16];
    uint32_t count = 0;
    put_lines(&s, 1, 10, lines, 3);
    put_lines(&s, 2, 10, lines, 1);
    EXPECT_EQ(series_lines(&s, 1, 0, out, 4, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 3);
    EXPECT_EQ(out[2].seq, 12);
    EXPECT_EQ(out[2].wall_us, 5);
    EXPECT_EQ(out[2].text.size, 5);
    EXPECT_MEM(out[2].text.at, "third", 5);
    EXPECT_EQ(out[1].text.size, 0);
    EXPECT_EQ(series_lines(&s, 1, 12, out, 4, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(series_lines(&s, 1, 0, out, 4, buffer, 9, &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(series_lines(&s, 1, 0, out, 4, buffer, 4, &count), SH_ERR_LIMIT);
    EXPECT_EQ(series_lines(&s, 1, 13, out, 4, buffer, 4, &count), SH_OK);
    EXPECT_EQ(count, 0);
    kv_close(s.kv);
}

TEST(events_of_a_job_and_dropping_a_job)
{
    static const char *const lines[] = {"line"};
    struct series s = open_series();
    struct series_row row = {.seq = 3, .wall_us = 9, .text = KV_SPAN("placed", 6)};
    struct series_row out[2];
    char buffer[64];
    uint32_t count = 0;
    struct kv_batch batch;
    kv_batch_init(&batch);
    series_put_event(&s, &batch, 7, &row);
    series_put_event(&s, &batch, 8, &row);
    write_batch(&s, &batch);
    put_lines(&s, 7, 0, lines, 1);
    put_points(&s, 7, "loss", 1, 1, 0);
    EXPECT_EQ(series_events(&s, 7, 0, out, 2, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(out[0].seq, 3);
    EXPECT_MEM(out[0].text.at, "placed", 6);
    kv_batch_init(&batch);
    series_drop_job(&s, &batch, 7);
    write_batch(&s, &batch);
    EXPECT_EQ(series_events(&s, 7, 0, out, 2, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 0);
    EXPECT_EQ(series_lines(&s, 7, 0, out, 2, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 0);
    EXPECT_STR(points(&s, 7, "loss", 0, 16), "");
    EXPECT_EQ(series_events(&s, 8, 0, out, 2, buffer, sizeof buffer, &count), SH_OK);
    EXPECT_EQ(count, 1);
    kv_close(s.kv);
}

TEST(a_row_that_is_cut_short_is_corrupt)
{
    struct series s = open_series();
    struct series_point out;
    uint32_t count = 0;
    uint8_t key[] = {'m', 0, 0, 0, 0, 0, 0, 0, 7, 1, 'x', 0, 0, 0, 0, 0, 0, 0, 1};
    struct kv_batch batch;
    for (size_t size = 0; size < 17; size++) {
        kv_batch_init(&batch);
        kv_batch_put(&batch, 1, KV_SPAN(key, sizeof key), KV_SPAN("\1aaaaaaaaaaaaaaaa", size));
        write_batch(&s, &batch);
        EXPECT_EQ(series_points(&s, 7, "x", 0, &out, 1, &count), SH_ERR_CORRUPT);
    }
    kv_batch_init(&batch);
    kv_batch_put(&batch, 1, KV_SPAN(key, sizeof key), KV_SPAN("\2aaaaaaaaaaaaaaaa", 17));
    write_batch(&s, &batch);
    EXPECT_EQ(series_points(&s, 7, "x", 0, &out, 1, &count), SH_ERR_VERSION);
    kv_close(s.kv);
}
