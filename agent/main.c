/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "cli/cli.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    static const struct cli_programs PROGRAMS = {
        .agent = agent_main, .demo = demo_main, .restore = restore_main};
    return cli_main(argc, argv, &PROGRAMS, stdout, stderr);
}
