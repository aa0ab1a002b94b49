/* SPDX-License-Identifier: Apache-2.0 */
#include "inventory.h"

#include "tst.h"

#include <signal.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Uses processor time, says so, and stays. */
static pid_t burn(int done)
{
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        volatile uint64_t sum = 0;
        while (clock() < 3 * CLOCKS_PER_SEC / 10) {
            sum = sum + 1;
        }
        (void)!write(done, "x", 1);
        for (;;) {
            (void)pause();
        }
    }
    return child;
}

TEST(what_descendants_use_is_the_agents_own_while_they_live_and_after)
{
    struct inventory_load load = {0};
    uint64_t least = (uint64_t)sysconf(_SC_CLK_TCK) / 4;
    int ends[2];
    char byte = 0;
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_EQ(inventory_load(&load), 0); /* one look says nothing */
    uint64_t before = load.own;
    pid_t child = burn(ends[1]);
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    EXPECT(inventory_load(&load) <= 1000);
    uint64_t living = load.own;
    EXPECT(living >= before + least);
    EXPECT_EQ(kill(child, SIGKILL), 0);
    EXPECT_EQ(waitpid(child, NULL, 0), child);
    EXPECT(inventory_load(&load) <= 1000);
    EXPECT(load.own + 2 >= living); /* rounded to ticks in two ways */
    EXPECT(load.own <= load.busy);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TEST(an_agent_says_what_this_machine_has)
{
    struct wire_node node = {.cpus = 0};
    struct utsname name;
    EXPECT_EQ(uname(&name), 0);
    inventory_read(&node, 1);
    EXPECT_EQ(node.cpus, 1);
    EXPECT_STR(node.arch, name.machine);
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t off = node.ram_bytes > ram ? node.ram_bytes - ram : ram - node.ram_bytes;
    EXPECT(off <= ram / 1000);
}
