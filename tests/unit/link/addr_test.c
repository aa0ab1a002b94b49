/* SPDX-License-Identifier: Apache-2.0 */
#include "link/addr.h"
#include "tst.h"

#include <string.h>

static const struct {
    const char *in;
    uint16_t port;
    const char *out; /* NULL: refused */
} texts[] = {
    {"10.0.0.7:7711", 0, "10.0.0.7:7711"},
    {"10.0.0.7", 7711, "10.0.0.7:7711"},
    {"10.0.0.7:1", 7711, "10.0.0.7:1"},
    {"[2001:db8::1]:80", 0, "[2001:db8::1]:80"},
    {"[::1]", 7711, "[::1]:7711"},
    {"2001:db8::1", 7711, "[2001:db8::1]:7711"},
    {"[::ffff:10.0.0.7]:5", 0, "10.0.0.7:5"},
    {"0.0.0.0:0", 0, "0.0.0.0:0"},
    {"10.0.0.7", 0, NULL},
    {"10.0.0.7:", 7711, NULL},
    {"10.0.0.7:65536", 0, NULL},
    {"10.0.0.7:-1", 0, NULL},
    {"10.0.0.7:1x", 0, NULL},
    {"10.0.0.256:1", 0, NULL},
    {"host:1", 0, NULL},
    {":7711", 0, NULL},
    {"", 7711, NULL},
    {"[::1", 7711, NULL},
    {"[::1]x", 7711, NULL},
    {"[]:1", 0, NULL},
    {"123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
     "4"
     "5678901234567890123456789012345678:1",
     0, NULL},
};

TEST_ROWS(an_address_text_is_read_or_refused, texts)
{
    struct link_addr addr;
    char out[SH_ADDR_MAX + 1];
    enum sh_err err = link_addr_parse(texts[tst_row].in, texts[tst_row].port, &addr);
    EXPECT_EQ(err, texts[tst_row].out != NULL ? SH_OK : SH_ERR_INVALID);
    if (err == SH_OK) {
        link_addr_format(&addr, out);
        EXPECT_STR(out, texts[tst_row].out);
    } else {
        struct link_addr zero = {0};
        EXPECT(link_addr_equal(&addr, &zero));
    }
}

TEST(names_are_resolved_and_unknown_ones_reported)
{
    struct link_addr out[4];
    uint32_t count = 0;
    EXPECT_EQ(link_addr_resolve("localhost:5", 0, out, 4, &count), SH_OK);
    EXPECT(count >= 1);
    EXPECT(link_addr_is_loopback(&out[0]));
    EXPECT_EQ(out[0].port, 5);
    EXPECT_EQ(link_addr_resolve("127.0.0.9", 6, out, 4, &count), SH_OK);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(link_addr_resolve("no port", 0, out, 4, &count), SH_ERR_INVALID);
    EXPECT_EQ(count, 0);
}

TEST(loopback_is_never_advertised_to_another_machine)
{
    struct link_addr loopback;
    struct link_addr any;
    struct link_addr remote;
    struct link_addr out;
    EXPECT_EQ(link_addr_parse("127.0.0.1:7711", 0, &loopback), SH_OK);
    EXPECT_EQ(link_addr_parse("0.0.0.0:7711", 0, &any), SH_OK);
    EXPECT_EQ(link_addr_parse("192.0.2.1:7711", 0, &remote), SH_OK);
    EXPECT_EQ(link_addr_advertise(&loopback, &loopback, &out), SH_OK);
    EXPECT(link_addr_equal(&out, &loopback));
    EXPECT_EQ(link_addr_advertise(&any, &loopback, &out), SH_OK);
    EXPECT(link_addr_equal(&out, &loopback));
    EXPECT_EQ(link_addr_advertise(&loopback, &remote, &out), SH_ERR_UNREACHABLE);
    EXPECT_EQ(link_addr_advertise(&remote, &loopback, &out), SH_OK);
    EXPECT(link_addr_equal(&out, &remote));
    if (link_addr_advertise(&any, &remote, &out) == SH_OK) { /* there is a default route */
        EXPECT(!link_addr_is_loopback(&out));
        EXPECT_EQ(out.port, 7711);
    }
}
