/* SPDX-License-Identifier: Apache-2.0
 *
 * The verb check-history of shoal-sim. */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

/* Judges the histories named by the arguments and prints one line for each. 0: all are
 * linearizable; 1: one is not, or the budget did not last; 2: a mistake in the call or in a file.
 */
int sim_judge_files(int argc, char **argv);

#endif
