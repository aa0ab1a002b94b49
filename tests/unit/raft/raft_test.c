/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"
#include "tst.h"

#include <stdlib.h>
#include <string.h>

static struct net *three(void)
{
    struct raft_config config = net_config(1);
    return net_new(3, 0x0e, 0, tst_seed(), &config);
}

TEST(a_group_elects_a_leader_and_commits_its_empty_entry)
{
    struct net *net = three();
    net_campaign(net, 1);
    net_settle(net);
    EXPECT_EQ(net_leader(net), 1);
    EXPECT_EQ(net_commit(net, 1), 1);
    EXPECT_EQ(net_propose(net, 1, "a"), SH_OK);
    net_settle(net);
    net_advance(net, 20);
    for (uint64_t id = 1; id <= 3; id++) {
        EXPECT_EQ(net->nodes[id].applied, 2);
    }
}
