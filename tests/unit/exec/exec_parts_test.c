/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines, orders, trees, folders and cgroups by themselves. */
#include "exec/cgroup.h"
#include "exec/lines.h"
#include "exec/tree.h"
#include "exec/usage.h"
#include "exec_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[EXEC_LINE_BYTES_MAX + 1];
static char said[4096];
static size_t longest;

static void gather(void *context, unsigned flags, char *text, size_t size)
{
    (void)context;
    EXPECT_EQ(strlen(text), size);
    longest = size > longest ? size : longest;
    const size_t used = strlen(said);
    (void)snprintf(
        said + used, sizeof said - used, "%s%s%s[%.60s]", (flags & EXEC_LINE_CUT) != 0 ? "c" : "",
        (flags & EXEC_LINE_REDRAW) != 0 ? "r" : "", (flags & EXEC_LINE_LAST) != 0 ? "l" : "", text);
}

static const struct {
    const char *in, *out;
} STREAMS[] = {
    {"a\nb\n", "[a][b]"},
    {"a\r\nb", "[a]l[b]"},
    {"\n\n", "[][]"},
    {"", ""},
    {"1/2\r2/2\rdone\n", "r[1/2]r[2/2][done]"},
    {"1/2\r\r\n", "[1/2]"},
    {"\r\r1\n", "[1]"},
    {"1%\b\b2%\b\b\n", "r[1%]r[2%][]"},
    {"a\r", "l[a]"},
    {"a\tb\x01"
     "c\x7f\n",
     "[a\tb?c?]"},
    {"\x1b[1;31mred\x1b[0m\n", "[red]"},
    {"\x1b]0;title\x07x\x1b]8;;u\x1b\\y\n", "[xy]"},
    {"\x1b(Bx\x1b"
     "7y\n",
     "[xy]"},
    {"\x1b[12\nx\x1b\n", "[][x]"},
    {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f\n", "[gr\xc3\xbc\xc3\x9f \xe2\x82\xac "
                                                           "\xf0\x9f\x90\x9f]"},
    {"\xff\xc3(\xc0\x80\xed\xa0\x80\xf5\x80\n", "[?"
                                                "?(?"
                                                "?????"
                                                "?]"},
    {"a\xc2\x9b"
     "b\xe2\x82\n",
     "[a?b??]"},
};

TEST_ROWS(a_stream_becomes_lines_that_are_safe_to_show, STREAMS)
{
    struct exec_lines lines;
    const char *in = STREAMS[tst_row].in;
    exec_lines_init(&lines, buffer);
    exec_lines_push(&lines, in, strlen(in), gather, NULL);
    exec_lines_end(&lines, gather, NULL);
    EXPECT_STR(said, STREAMS[tst_row].out);
    /* The same a byte at a time. */
    said[0] = 0;
    exec_lines_init(&lines, buffer);
    for (size_t i = 0; i < strlen(in); i++) {
        exec_lines_push(&lines, in + i, 1, gather, NULL);
    }
    exec_lines_end(&lines, gather, NULL);
    EXPECT_STR(said, STREAMS[tst_row].out);
}

TEST(a_line_beyond_the_limit_is_cut_and_the_next_is_whole)
{
    struct exec_lines lines;
    static char much[3 * EXEC_LINE_BYTES_MAX];
    memset(much, 'x', sizeof much);
    exec_lines_init(&lines, buffer);
    exec_lines_push(&lines, much, EXEC_LINE_BYTES_MAX, gather, NULL);
    exec_lines_push(&lines, "\n", 1, gather, NULL);
    EXPECT_EQ(said[0], '[');
    EXPECT_EQ(longest, EXEC_LINE_BYTES_MAX);
    said[0] = 0;
    exec_lines_push(&lines, much, sizeof much, gather, NULL);
    exec_lines_push(&lines, "\nnext\n", 6, gather, NULL);
    EXPECT_EQ(said[0], 'c');
    EXPECT_EQ(longest, EXEC_LINE_BYTES_MAX);
    EXPECT(strstr(said, "][next]") != NULL);
}

TEST(a_line_that_is_cut_ends_with_a_whole_character)
{
    struct exec_lines lines;
    static char much[EXEC_LINE_BYTES_MAX + 2];
    memset(much, 'x', sizeof much);
    memcpy(much + EXEC_LINE_BYTES_MAX - 1, "\xc3\xa4\n", 3);
    exec_lines_init(&lines, buffer);
    exec_lines_push(&lines, much, sizeof much, gather, NULL);
    EXPECT_EQ(longest, EXEC_LINE_BYTES_MAX - 1);
    EXPECT(strchr(said, '?') == NULL);
}

static const char *const ARGV[] = {"a", "", "b c", NULL};
static const char *const ENVIRONMENT[] = {"X=1", NULL};
static const char *const EMPTY[] = {NULL};

static size_t encode(uint8_t *bytes, size_t size)
{
    size_t used;
    const struct exec_order order = {.argv = ARGV,
                                     .env = ENVIRONMENT,
                                     .readable = EMPTY,
                                     .writable = ENVIRONMENT,
                                     .dir = "/d",
                                     .procs = "",
                                     .confined = true,
                                     .uid = 7,
                                     .nice = 10,
                                     .file_bytes = UINT64_C(1) << 40};
    EXPECT_EQ(exec_order_encode(&order, bytes, size, &used), SH_OK);
    return used;
}

TEST(an_order_is_read_as_it_was_written)
{
    uint8_t bytes[1024];
    struct exec_order order;
    void *owned;
    const size_t used = encode(bytes, sizeof bytes);
    EXPECT_EQ(exec_order_decode(&order, bytes, used, &owned), SH_OK);
    EXPECT_STR(order.argv[1], "");
    EXPECT_STR(order.argv[2], "b c");
    EXPECT(order.argv[3] == NULL);
    EXPECT_STR(order.env[0], "X=1");
    EXPECT(order.readable[0] == NULL);
    EXPECT_STR(order.writable[0], "X=1");
    EXPECT_STR(order.dir, "/d");
    EXPECT(order.confined && !order.wrapped && !order.network);
    EXPECT_EQ(order.uid, 7);
    EXPECT_EQ(order.nice, 10);
    EXPECT_EQ(order.file_bytes, UINT64_C(1) << 40);
    free(owned);
}

TEST(an_order_that_was_cut_anywhere_is_corrupt)
{
    uint8_t bytes[1024];
    const size_t used = encode(bytes, sizeof bytes);
    for (size_t size = 0; size < used; size++) {
        uint8_t *cut = malloc(size + 1); /* so that a sanitizer sees what lies beyond */
        struct exec_order order;
        void *owned;
        EXPECT(cut != NULL);
        memcpy(cut, bytes, size);
        EXPECT_EQ(exec_order_decode(&order, cut, size, &owned), SH_ERR_CORRUPT);
        free(owned);
        free(cut);
    }
    size_t used_again;
    const struct exec_order order = {.argv = ARGV, .dir = "/", .procs = ""};
    EXPECT_EQ(exec_order_encode(&order, bytes, 20, &used_again), SH_ERR_LIMIT);
}

TEST(a_tree_has_all_descendants_and_nobody_else)
{
    int ends[2];
    struct exec_tree tree = {0};
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        const pid_t grandchild = fork();
        SH_MAY_FAIL(write(ends[1], &grandchild, sizeof grandchild) > 0);
        for (;;) {
            pause();
        }
    }
    pid_t grandchild = 0;
    while (grandchild == 0) { /* the grandchild writes a zero */
        EXPECT_EQ(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    }
    EXPECT_EQ(exec_tree_read(&tree, getpid()), SH_OK);
    bool found[2] = {false, false};
    for (size_t i = 0; i < tree.count; i++) {
        found[0] = found[0] || (tree.at[i].pid == child && tree.at[i].parent == getpid());
        found[1] = found[1] || (tree.at[i].pid == grandchild && tree.at[i].parent == child);
    }
    EXPECT(found[0] && found[1]);
    EXPECT_EQ(tree.count, 2);
    EXPECT_EQ(exec_tree_threads(&tree), 2);
    EXPECT(exec_tree_rss(&tree) > 8192);
    EXPECT(exec_tree_pss(&tree) > 0);
    EXPECT(exec_tree_pss(&tree) < exec_tree_rss(&tree)); /* they share what they were forked from */
    EXPECT_EQ(exec_tree_read(&tree, grandchild), SH_OK);
    EXPECT_EQ(tree.count, 0);
    EXPECT_EQ(kill(grandchild, SIGKILL), 0);
    EXPECT_EQ(kill(child, SIGKILL), 0);
    EXPECT_EQ(waitpid(child, NULL, 0), child);
    exec_tree_close(&tree);
}

TEST(a_folder_is_measured_without_following_links)
{
    char path[600];
    struct exec_usage usage;
    (void)snprintf(path, sizeof path, "%s/a", tst_dir());
    EXPECT_EQ(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/a/file", tst_dir());
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    static const char bytes[300000] = "x";
    EXPECT_EQ(write(fd, bytes, sizeof bytes), sizeof bytes);
    EXPECT_EQ(fsync(fd), 0); /* some file systems allocate late */
    EXPECT_EQ(close(fd), 0);
    (void)snprintf(path, sizeof path, "%s/link", tst_dir());
    EXPECT_EQ(symlink("/usr", path), 0);
    EXPECT_EQ(exec_usage_of(tst_dir(), &usage), SH_OK);
    EXPECT(usage.bytes >= 300000 && usage.bytes < 400000);
    EXPECT_EQ(usage.files, 4); /* the folder itself, a, file, link */
    EXPECT(!usage.cut);
    EXPECT_EQ(exec_usage_of("/nonexistent", &usage), SH_ERR_IO);
    EXPECT(exec_usage_free(tst_dir()) < UINT64_MAX);
    EXPECT_EQ(exec_usage_free("/nonexistent"), UINT64_MAX);
}

TEST(what_is_no_cgroup_is_not_taken_for_one)
{
    struct exec_cgroup cgroup;
    char why[EXEC_TEXT_BYTES] = "";
    EXPECT_EQ(exec_cgroup_probe(&cgroup, tst_dir(), why, sizeof why), SH_ERR_UNSUPPORTED);
    EXPECT(strstr(why, "cannot be frozen and killed") != NULL);
    EXPECT_EQ(exec_cgroup_probe(&cgroup, "/nonexistent", why, sizeof why), SH_ERR_IO);
    EXPECT(strstr(why, "no cgroup can be made in /nonexistent") != NULL);
}

/* A leaf as a kernel with controllers would give it; files of an ordinary folder. */
TEST(limits_go_into_a_leaf_and_what_the_kernel_counted_comes_back)
{
    struct exec_cgroup_leaf leaf;
    char procs[EXEC_CGROUP_PATH_MAX + 1];
    (void)snprintf(leaf.path, sizeof leaf.path, "%s", tst_dir());
    exec_cgroup_procs(&leaf, procs);
    EXPECT(strstr(procs, "/cgroup.procs") != NULL);
    EXPECT_EQ(exec_cgroup_oom_kills(&leaf), 0);
    EXPECT_EQ(exec_cgroup_peak(&leaf), 0);
    EXPECT(!exec_cgroup_kill(&leaf));
    char path[600];
    (void)snprintf(path, sizeof path, "%s/memory.events", tst_dir());
    FILE *file = fopen(path, "we");
    EXPECT(file != NULL);
    EXPECT(fputs("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\n", file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    (void)snprintf(path, sizeof path, "%s/memory.peak", tst_dir());
    file = fopen(path, "we");
    EXPECT(file != NULL);
    EXPECT(fputs("123456\n", file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    EXPECT_EQ(exec_cgroup_oom_kills(&leaf), 3);
    EXPECT_EQ(exec_cgroup_peak(&leaf), 123456);
    leaf.path[0] = 0;
    exec_cgroup_procs(&leaf, procs);
    EXPECT_STR(procs, "");
    EXPECT(!exec_cgroup_freeze(&leaf, true));
}
