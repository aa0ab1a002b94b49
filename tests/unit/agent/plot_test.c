/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "tst.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *drawn(const struct cli_curve *curve, unsigned columns, unsigned rows)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    EXPECT(out != NULL);
    cli_plot_draw(out, "t", curve, 1, columns, rows);
    EXPECT(fclose(out) == 0);
    return text;
}

TEST(a_rising_line_runs_from_the_lower_left_to_the_upper_right)
{
    static const double X[] = {0, 1};
    static const double Y[] = {0, 7};
    struct cli_curve curve = {X, Y, 2};
    char *text = drawn(&curve, 4, 2);
    EXPECT_STR(text, "         t\n"
                     "       7 \342\240\200\342\240\200\342\241\240\342\240\212\n"
                     "       0 \342\241\240\342\240\212\342\240\200\342\240\200\n"
                     "         0  1\n");
    free(text);
}

TEST(a_gap_is_not_bridged_and_a_constant_lies_in_the_middle)
{
    static const double X[] = {0, 1, 2};
    const double y[] = {5, (double)NAN, 5};
    struct cli_curve curve = {X, y, 3};
    char *text = drawn(&curve, 3, 1);
    EXPECT_STR(text, "         t\n       5 \342\240\202\342\240\200\342\240\220\n         0 2\n");
    free(text);
}

TEST(small_numbers_keep_their_exponent)
{
    static const double X[] = {0, 1};
    static const double Y[] = {7.907e-05, -1.2345e-11};
    struct cli_curve curve = {X, Y, 2};
    char *text = drawn(&curve, 1, 2);
    EXPECT(strstr(text, " 7.9e-05 ") != NULL);
    EXPECT(strstr(text, "-1.2e-11 ") != NULL);
    free(text);
}

TEST(nothing_to_draw_is_an_empty_frame)
{
    struct cli_curve curve = {NULL, NULL, 0};
    char *text = drawn(&curve, 2, 1);
    EXPECT_STR(text, "         t\n         \342\240\200\342\240\200\n           \n");
    free(text);
}

static const struct {
    uint64_t us;
    const char *text;
} DURATIONS[] = {{0, "0s"},
                 {59999999, "59s"},
                 {60000000, "1m00s"},
                 {3600000000, "1h00m"},
                 {UINT64_C(90000000000), "1d01h"}};

TEST_ROWS(durations_are_short, DURATIONS)
{
    char text[CLI_FORMAT_BYTES];
    cli_format_duration(DURATIONS[tst_row].us, text);
    EXPECT_STR(text, DURATIONS[tst_row].text);
}

TEST(numbers_for_people)
{
    char text[CLI_FORMAT_BYTES];
    cli_format_bytes(1023, text);
    EXPECT_STR(text, "1023 B");
    cli_format_bytes(UINT64_C(67430000000), text);
    EXPECT_STR(text, "62.8 GiB");
    cli_format_count(41234, text);
    EXPECT_STR(text, "41.2k");
    cli_format_percent((double)NAN, text);
    EXPECT_STR(text, "-");
    EXPECT_EQ(cli_format_width("a\xc3\xa4\xe2\xa0\x80"), 3);
}

TEST(progress_is_one_line_with_the_time_left)
{
    struct cli_progress *p = malloc(sizeof *p);
    EXPECT(p != NULL);
    char line[CLI_PROGRESS_LINE];
    cli_progress_init(p, 8);
    cli_progress_event(p, "state", "{\"state\":\"waiting\"}");
    cli_progress_line(p, line);
    EXPECT_STR(line, "waiting");
    cli_progress_event(p, "metric",
                       "{\"name\":\"epoch\",\"step\":10,\"value\":1,\"at_us\":1000000}");
    cli_progress_event(p, "metric",
                       "{\"name\":\"epoch\",\"step\":20,\"value\":2,\"at_us\":3000000}");
    cli_progress_event(p, "metric", "{\"name\":\"loss\",\"step\":20,\"value\":0.125,\"at_us\":1}");
    cli_progress_line(p, line); /* of a model that predicts a number */
    EXPECT_STR(line, "epoch 2.00/8  step 20  loss 0.125  ETA 12s");
    cli_progress_event(p, "metric",
                       "{\"name\":\"accuracy\",\"step\":20,\"value\":0.5,\"at_us\":1}");
    cli_progress_event(p, "metric",
                       "{\"name\":\"samples_per_s\",\"step\":20,\"value\":41234,\"at_us\":1}");
    cli_progress_event(p, "metric", "{\"name\":\"agents\",\"step\":20,\"value\":3,\"at_us\":1}");
    cli_progress_line(p, line);
    EXPECT_STR(line, "epoch 2.00/8  step 20  loss 0.125  accuracy 50.00 %  41.2k samples/s  "
                     "3 agents  ETA 12s");
    free(p);
}

TEST(a_long_run_keeps_a_bounded_number_of_points_and_its_ends)
{
    struct cli_progress *p = malloc(sizeof *p);
    EXPECT(p != NULL);
    char event[128];
    cli_progress_init(p, 1);
    for (unsigned step = 1; step <= 20000; step++) {
        (void)snprintf(event, sizeof event,
                       "{\"name\":\"loss\",\"step\":%u,\"value\":%u,\"at_us\":1}", step, step);
        cli_progress_event(p, "metric", event);
    }
    EXPECT(p->loss_points.count <= CLI_PROGRESS_POINTS);
    EXPECT(p->loss_points.count > CLI_PROGRESS_POINTS / 4);
    EXPECT(p->loss_points.x[0] < 10);
    EXPECT(p->loss_points.x[p->loss_points.count - 1] > 19900);
    cli_progress_event(p, "metric", "{\"name\":\"loss\",\"step\":16,\"value\":3,\"at_us\":1}");
    EXPECT(p->loss_points.x[p->loss_points.count - 1] < 17);
    free(p);
}
