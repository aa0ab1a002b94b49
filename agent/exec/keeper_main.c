/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/keeper.h"

int main(int argc, char **argv)
{
    return exec_keeper_called(argc, argv) ? exec_keeper_main() : 2;
}
