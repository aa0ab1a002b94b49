/* SPDX-License-Identifier: Apache-2.0 */
#include "members.h"

#include "base/host/host.h"
#include "tst.h"

#include <pthread.h>
#include <string.h>

static const uint8_t ME[SH_NODE_ID_BYTES] = {5};

static struct members *fresh(void)
{
    struct members *m = NULL;
    sh_host_init();
    EXPECT_EQ(members_open(&m, ME), SH_OK);
    return m;
}

static enum sh_err put(struct members *m, unsigned id, enum service_liveness liveness)
{
    struct service_member x = {.liveness = liveness, .voter = true};
    x.node.id[0] = (uint8_t)(id >> 8);
    x.node.id[1] = (uint8_t)id;
    return members_put(m, &x);
}

TEST(members_are_listed_in_the_order_of_their_ids)
{
    static const unsigned ids[] = {7, 3, 900, 3, 1};
    struct members *m = fresh();
    struct service_member out[8];
    for (size_t i = 0; i < SH_COUNT(ids); i++) {
        EXPECT_EQ(put(m, ids[i], SERVICE_ALIVE), SH_OK);
    }
    EXPECT_EQ(members_list(m, out, 8), 4);
    EXPECT_EQ(out[0].node.id[1], 1);
    EXPECT_EQ(out[1].node.id[1], 3);
    EXPECT_EQ(out[2].node.id[1], 7);
    EXPECT_EQ(out[3].node.id[0], 3);
    EXPECT_EQ(members_list(m, out, 2), 2);
    members_close(m);
}

TEST(only_the_voters_named_last_are_voters_those_that_are_put_later_too)
{
    uint8_t voters[2][SH_NODE_ID_BYTES] = {{0, 1}, {0, 9}};
    uint8_t nine[SH_NODE_ID_BYTES] = {0, 9};
    struct members *m = fresh();
    struct service_member x;
    EXPECT_EQ(put(m, 1, SERVICE_ALIVE), SH_OK);
    EXPECT(members_get(m, voters[0], &x) && !x.voter);
    members_set_voters(m, voters, 2);
    EXPECT(members_get(m, voters[0], &x) && x.voter);
    EXPECT(!members_get(m, nine, &x));
    EXPECT_EQ(put(m, 9, SERVICE_ALIVE), SH_OK);
    EXPECT(members_get(m, nine, &x) && x.voter);
    EXPECT_EQ(put(m, 9, SERVICE_SUSPECT), SH_OK);
    EXPECT(members_get(m, nine, &x) && x.voter);
    members_set_voters(m, voters, 1);
    EXPECT(members_get(m, nine, &x) && !x.voter);
    members_set_voters(m, NULL, 0);
    EXPECT(members_get(m, voters[0], &x) && !x.voter);
    members_close(m);
}

TEST(suspects_count_as_live_and_this_agent_the_dead_and_the_left_do_not)
{
    uint8_t ids[8][SH_NODE_ID_BYTES];
    struct members *m = fresh();
    struct service_member self = {.liveness = SERVICE_ALIVE};
    memcpy(self.node.id, ME, sizeof ME);
    EXPECT_EQ(members_put(m, &self), SH_OK);
    EXPECT_EQ(put(m, 1, SERVICE_DEAD), SH_OK);
    EXPECT_EQ(put(m, 2, SERVICE_SUSPECT), SH_OK);
    EXPECT_EQ(put(m, 3, SERVICE_LEFT), SH_OK);
    EXPECT_EQ(put(m, 4, SERVICE_ALIVE), SH_OK);
    EXPECT_EQ(members_alive(m, ids, 8), 2);
    EXPECT_EQ(ids[0][1], 2);
    EXPECT_EQ(ids[1][1], 4);
    EXPECT_EQ(members_alive(m, ids, 1), 1);
    members_close(m);
}

TEST(the_table_of_members_is_bounded)
{
    struct members *m = fresh();
    for (unsigned i = 0; i < SH_NODES_MAX; i++) {
        EXPECT_EQ(put(m, i, SERVICE_ALIVE), SH_OK);
    }
    EXPECT_EQ(put(m, SH_NODES_MAX, SERVICE_ALIVE), SH_ERR_LIMIT);
    EXPECT_EQ(put(m, 17, SERVICE_DEAD), SH_OK);
    members_close(m);
}

static void *wait_for_change(void *arg)
{
    struct members *m = arg;
    return members_wait(m, 0, 5000000) > 0 ? m : NULL;
}

TEST(a_change_wakes_who_waits_and_a_deadline_ends_the_wait)
{
    pthread_t thread;
    void *woken = NULL;
    struct members *m = fresh();
    EXPECT_EQ(members_wait(m, 0, 1000), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, wait_for_change, m), 0);
    EXPECT_EQ(put(m, 1, SERVICE_ALIVE), SH_OK);
    EXPECT_EQ(pthread_join(thread, &woken), 0);
    EXPECT(woken != NULL);
    EXPECT_EQ(members_version(m), 1);
    members_close(m);
}

TEST(a_full_list_gives_the_place_of_one_that_is_gone_to_one_that_is_here)
{
    uint8_t voters[1][SH_NODE_ID_BYTES] = {{0, 0}};
    uint8_t newcomer[SH_NODE_ID_BYTES] = {8, 0};
    struct members *m = fresh();
    struct service_member x;
    members_set_voters(m, voters, 1);
    for (unsigned id = 0; id < SH_NODES_MAX; id++) {
        EXPECT_EQ(put(m, id, id < 2 ? SERVICE_LEFT : SERVICE_ALIVE), SH_OK);
    }
    EXPECT_EQ(put(m, 2049, SERVICE_DEAD), SH_ERR_LIMIT); /* whoever is gone already is no news */
    EXPECT_EQ(put(m, 2048, SERVICE_ALIVE), SH_OK);
    EXPECT(members_get(m, newcomer, &x) && x.liveness == SERVICE_ALIVE);
    EXPECT(members_get(m, voters[0], &x) && x.voter); /* not the one that votes */
    newcomer[0] = 0;
    newcomer[1] = 1;
    EXPECT(!members_get(m, newcomer, &x));
    EXPECT_EQ(put(m, 2049, SERVICE_ALIVE), SH_ERR_LIMIT); /* nobody is gone any more */
    EXPECT_EQ(put(m, 2048, SERVICE_SUSPECT), SH_OK);
    members_close(m);
}
