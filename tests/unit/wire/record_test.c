/* SPDX-License-Identifier: Apache-2.0 */
#include "tst.h"
#include "wire/job.h"
#include "wire/node.h"

#include <string.h>

static struct wire_node a_node(void)
{
    struct wire_node node = {.name = "newt-07",
                             .addr = "10.0.0.7:7711",
                             .api = "127.0.0.1:8711",
                             .bulk_port = 7712,
                             .version = "0.1.0",
                             .isa = "avx2",
                             .gpu = "H200",
                             .gpus = 1,
                             .gpu_bytes = UINT64_C(150) << 30,
                             .cpus = 16,
                             .ram_bytes = UINT64_C(128) << 30,
                             .slots = 2,
                             .speed = 1200,
                             .load = 30,
                             .draining = true,
                             .dataset_count = 2,
                             .datasets = {7, 9},
                             .fsync_p99_us = 2500,
                             .zone = "rack-7",
                             .sandbox = WIRE_SANDBOX_BASIC,
                             .sandbox_min = WIRE_SANDBOX_STRICT,
                             .run_as = 60600,
                             .policy = WIRE_POLICY_HOURS,
                             .disk_bytes = UINT64_C(1) << 40,
                             .labels = "disk=nvme,fast",
                             .arch = "x86_64"};
    memset(node.id, 0x11, sizeof node.id);
    memset(node.class, 0x22, sizeof node.class);
    return node;
}

TEST(a_node_record_gives_back_what_was_put)
{
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    struct wire_node node = a_node();
    struct wire_node got;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&node, &w);
    EXPECT(!w.full);
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(wire_node_decode(&r, &got), SH_OK);
    EXPECT_EQ(sh_reader_left(&r), 0);
    EXPECT_MEM(got.id, node.id, sizeof got.id);
    EXPECT_STR(got.name, node.name);
    EXPECT_STR(got.addr, node.addr);
    EXPECT_STR(got.api, node.api);
    EXPECT_EQ(got.bulk_port, node.bulk_port);
    EXPECT_MEM(got.class, node.class, sizeof got.class);
    EXPECT_STR(got.version, node.version);
    EXPECT_STR(got.isa, node.isa);
    EXPECT_STR(got.gpu, node.gpu);
    EXPECT_EQ(got.gpus, node.gpus);
    EXPECT_EQ(got.gpu_bytes, node.gpu_bytes);
    EXPECT_EQ(got.cpus, node.cpus);
    EXPECT_EQ(got.ram_bytes, node.ram_bytes);
    EXPECT_EQ(got.slots, node.slots);
    EXPECT_EQ(got.speed, node.speed);
    EXPECT_EQ(got.load, node.load);
    EXPECT_EQ(got.sandbox, WIRE_SANDBOX_BASIC);
    EXPECT_EQ(got.sandbox_min, WIRE_SANDBOX_STRICT);
    EXPECT_EQ(got.run_as, 60600);
    EXPECT(got.draining);
    EXPECT_EQ(got.policy, WIRE_POLICY_HOURS);
    EXPECT_EQ(got.disk_bytes, node.disk_bytes);
    EXPECT_STR(got.labels, "disk=nvme,fast");
    EXPECT_STR(got.arch, "x86_64");
    EXPECT_EQ(got.fsync_p99_us, 2500);
    EXPECT_STR(got.zone, "rack-7");
    EXPECT_EQ(got.dataset_count, 2);
    EXPECT_EQ(got.datasets[1], 9);
}

TEST(every_truncated_node_record_is_corrupt)
{
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    struct wire_node node = a_node();
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&node, &w);
    for (size_t size = 0; size < w.used; size++) {
        struct sh_reader r = sh_reader_over(bytes, size);
        EXPECT_EQ(wire_node_decode(&r, &node), SH_ERR_CORRUPT);
    }
}

TEST(a_node_record_of_another_version_says_so)
{
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    struct wire_node node = a_node();
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&node, &w);
    bytes[0] = 2;
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(wire_node_decode(&r, &node), SH_ERR_VERSION);
}

TEST(the_largest_node_record_fits_gossip)
{
    uint8_t bytes[WIRE_NODE_BYTES_MAX];
    struct wire_node node = a_node();
    memset(node.name, 'n', SH_NAME_MAX);
    memset(node.addr, '1', SH_ADDR_MAX);
    node.addr[SH_ADDR_MAX - 5] = ':';
    memcpy(node.api, node.addr, sizeof node.api);
    memset(node.version, 'v', WIRE_VERSION_MAX);
    memset(node.isa, 'i', WIRE_ISA_MAX);
    memset(node.gpu, 'g', WIRE_GPU_NAME_MAX);
    node.dataset_count = WIRE_NODE_DATASETS_MAX;
    memset(node.zone, 'z', WIRE_ZONE_MAX);
    memset(node.arch, 'a', WIRE_ARCH_MAX);
    node.labels[0] = '\0';
    for (unsigned i = 0; i < 4; i++) { /* 4 of 63 and their commas: all that there may be */
        size_t used = strlen(node.labels);
        memset(node.labels + used, 'l', 63);
        node.labels[used] = (char)('a' + i);
        node.labels[used + WIRE_LABEL_MAX] = '=';
        node.labels[used + 63] = i < 3 ? ',' : '\0';
    }
    EXPECT_EQ(strlen(node.labels), WIRE_LABELS_BYTES_MAX);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_node_encode(&node, &w);
    EXPECT(!w.full);
    struct sh_reader r = sh_reader_over(bytes, w.used);
    EXPECT_EQ(wire_node_decode(&r, &node), SH_OK);
}

struct text_row {
    const char *text;
    bool ok;
};

static const struct text_row names[] = {
    {"a", true},    {"newt-07", true}, {"0.1_x-Y", true},
    {"", false},    {"-a", false},     {".hidden", false},
    {"a/b", false}, {"a b", false},    {"na\xc3\xafve", false},
    {"a:1", false},
};

TEST_ROWS(a_name_is_safe_in_paths_urls_and_keys, names)
{
    EXPECT_EQ(wire_name_ok(names[tst_row].text), names[tst_row].ok);
}

static const struct text_row addrs[] = {
    {"h:1", true},    {"[::1]:7711", true}, {"", false},
    {":7711", false}, {"host", false},      {"a b:1", false},
};

TEST_ROWS(an_address_is_host_and_port, addrs)
{
    EXPECT_EQ(wire_addr_ok(addrs[tst_row].text), addrs[tst_row].ok);
}

TEST(names_and_addresses_have_a_longest_length)
{
    char text[SH_ADDR_MAX + 2] = {0};
    memset(text, 'a', SH_NAME_MAX);
    EXPECT(wire_name_ok(text));
    text[SH_NAME_MAX] = 'a';
    EXPECT(!wire_name_ok(text));
    memset(text, 'a', SH_ADDR_MAX);
    text[SH_ADDR_MAX - 1] = ':';
    EXPECT(wire_addr_ok(text));
    text[SH_ADDR_MAX] = '1';
    EXPECT(!wire_addr_ok(text));
}

TEST(fences_are_ordered_by_term_then_index)
{
    struct wire_fence a = {.term = 1, .index = 9};
    struct wire_fence b = {.term = 2, .index = 3};
    struct wire_fence c = {.term = 2, .index = 4};
    EXPECT(wire_fence_cmp(a, b) < 0);
    EXPECT(wire_fence_cmp(c, b) > 0);
    EXPECT_EQ(wire_fence_cmp(c, c), 0);
    EXPECT(wire_fence_equal(c, c) && !wire_fence_equal(b, c));
    EXPECT(wire_fence_none((struct wire_fence){0}) && !wire_fence_none(a));
}

TEST(a_placement_gives_back_what_was_put)
{
    uint8_t bytes[1024];
    struct wire_placement p = {.fence = {3, 14}, .mixed = true, .member_count = 2};
    struct wire_placement got;
    memset(p.class, 5, sizeof p.class);
    for (uint32_t i = 0; i < 2; i++) {
        memset(p.members[i].node, (int)i + 1, SH_NODE_ID_BYTES);
        p.members[i].rank_lo = (uint16_t)(8 * i);
        p.members[i].rank_hi = (uint16_t)(8 * i + 8);
    }
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_placement_put(&w, &p);
    struct sh_reader r = sh_reader_over(bytes, w.used);
    wire_placement_get(&r, &got);
    EXPECT_EQ(sh_reader_end(&r), SH_OK);
    EXPECT(wire_fence_equal(got.fence, p.fence));
    EXPECT(got.mixed);
    EXPECT_EQ(got.member_count, 2);
    EXPECT_EQ(got.members[1].rank_lo, 8);
    EXPECT(wire_members_cover(got.members, 2, 16));
    EXPECT(!wire_members_cover(got.members, 2, 15));
    EXPECT(!wire_members_cover(got.members, 1, 16));
    EXPECT_EQ(wire_member_find(got.members, 2, p.members[1].node), 1);
    EXPECT_EQ(wire_member_find(got.members, 2, p.class), 2);
}

TEST(a_member_list_that_is_too_long_or_has_an_empty_range_is_corrupt)
{
    uint8_t bytes[1024] = {WIRE_MEMBERS_MAX + 1};
    struct wire_member members[WIRE_MEMBERS_MAX];
    struct sh_reader r = sh_reader_over(bytes, sizeof bytes);
    EXPECT_EQ(wire_members_get(&r, members), 0);
    EXPECT_EQ(sh_reader_end(&r), SH_ERR_CORRUPT);
    bytes[0] = 1;
    r = sh_reader_over(bytes, sizeof bytes);
    EXPECT_EQ(wire_members_get(&r, members), 0);
    EXPECT_EQ(sh_reader_end(&r), SH_ERR_CORRUPT);
}

struct need_row {
    struct wire_need need;
    bool ok;
};

#define NEED(v, min, max, cores, bytes, mode)                                                      \
    .ranks = (v), .agents_min = (min), .agents_max = (max), .cpus = (cores), .ram_bytes = (bytes), \
    .arithmetic = (mode)

static const struct need_row needs[] = {
    {{NEED(16, 1, 8, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     true},
    {{NEED(16, 1, 8, 1, 0, WIRE_ARITHMETIC_ANY), .dataset = "birds", .sandbox = WIRE_SANDBOX_OFF},
     true},
    {{NEED(0, 1, 8, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(SH_RANKS_MAX + 1, 1, 8, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "",
      .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(16, 0, 8, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(16, 3, 2, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(2, 3, 8, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(64, WIRE_MEMBERS_MAX + 1, 64, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "",
      .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(16, 1, 8, 1, 0, (enum wire_arithmetic)0), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(16, 1, 8, 1, 0, (enum wire_arithmetic)9), .dataset = "", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(16, 1, 8, 1, 0, WIRE_ARITHMETIC_SAME), .dataset = "../x", .sandbox = WIRE_SANDBOX_OFF},
     false},
    {{NEED(16, 1, 8, 1, 0, WIRE_ARITHMETIC_ANY), .dataset = "", .sandbox = WIRE_SANDBOX_STRICT},
     true},
    {{NEED(16, 1, 8, 1, 0, WIRE_ARITHMETIC_ANY), .dataset = "", .sandbox = (enum wire_sandbox)4},
     false},
    {{NEED(1, 1, 1, 0, 0, WIRE_ARITHMETIC_ANY), .spread = WIRE_SPREAD_PACK}, true},
    {{NEED(1, 1, 1, 0, 0, WIRE_ARITHMETIC_ANY), .spread = (enum wire_spread)3}, false},
    {{NEED(1, 1, 1, 0, 0, WIRE_ARITHMETIC_ANY), .conditions = "zone!=attic;fast"}, true},
    {{NEED(1, 1, 1, 0, 0, WIRE_ARITHMETIC_ANY), .conditions = "zone\n"}, false},
};

TEST_ROWS(a_need_is_judged_by_its_rules, needs)
{
    EXPECT_EQ(wire_need_ok(&needs[tst_row].need), needs[tst_row].ok);
}

TEST(a_need_gives_back_what_was_put)
{
    uint8_t bytes[1024];
    struct wire_need need = {NEED(4, 1, 2, 3, 5, WIRE_ARITHMETIC_ANY),
                             .dataset = "birds",
                             .sandbox = WIRE_SANDBOX_STRICT,
                             .gpus = 2,
                             .gpu_bytes = UINT64_C(16) << 30,
                             .disk_bytes = 77,
                             .per_node_max = 9,
                             .spread = WIRE_SPREAD_PACK,
                             .conditions = "disk=nvme;name in (a, b)"};
    struct wire_need got;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    wire_need_put(&w, &need);
    struct sh_reader r = sh_reader_over(bytes, w.used);
    wire_need_get(&r, &got);
    EXPECT_EQ(sh_reader_end(&r), SH_OK);
    EXPECT_EQ(got.ranks, 4);
    EXPECT_EQ(got.cpus, 3);
    EXPECT_EQ(got.ram_bytes, 5);
    EXPECT_STR(got.dataset, "birds");
    EXPECT_EQ(got.sandbox, WIRE_SANDBOX_STRICT);
    EXPECT_EQ(got.gpus, 2);
    EXPECT_EQ(got.gpu_bytes, need.gpu_bytes);
    EXPECT_EQ(got.disk_bytes, 77);
    EXPECT_EQ(got.per_node_max, 9);
    EXPECT_EQ(got.spread, WIRE_SPREAD_PACK);
    EXPECT_STR(got.conditions, need.conditions);
}

static const struct {
    const char *labels;
    bool ok;
} labels[] = {
    {"", true},
    {"disk=nvme", true},
    {"fast,disk=nvme,rack=12", true},
    {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", true},
    {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", false},
    {",", false},
    {"a,", false},
    {"=x", false},
    {"a=", false},
    {"a=1=2", false},
    {"a b", false},
    {"a=1,b,a=2", false},
    {"ab,a", true},
    {"1234567890123456789012345678901=1234567890123456789012345678901", true},
    {"12345678901234567890123456789012=1", false},
    {"a=12345678901234567890123456789012", false},
};

TEST_ROWS(labels_are_judged_by_their_rules, labels)
{
    EXPECT_EQ(wire_labels_ok(labels[tst_row].labels), labels[tst_row].ok);
}

TEST(a_data_set_tag_is_the_head_of_its_digest)
{
    uint8_t digest[SH_DIGEST_BYTES] = {1, 2};
    EXPECT_EQ(wire_dataset_tag(digest), 0x0201);
}

TEST(every_cause_but_none_has_a_text)
{
    EXPECT_STR(wire_cause_text(WIRE_CAUSE_NONE), "");
    for (uint32_t i = 1; i < WIRE_CAUSE_COUNT; i++) {
        EXPECT(strlen(wire_cause_text(i)) > 0);
    }
    EXPECT_STR(wire_cause_text(WIRE_CAUSE_COUNT), "?");
}
