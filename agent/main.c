/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "cli/cli.h"
#include "exec/keeper.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    /* Not a verb: how an agent starts the process between itself and a command. */
    if (exec_keeper_called(argc, argv)) {
        return exec_keeper_main();
    }
    static const struct cli_programs PROGRAMS = {
        .agent = agent_main, .demo = demo_main, .restore = restore_main};
    return cli_main(argc, argv, &PROGRAMS, stdout, stderr);
}
