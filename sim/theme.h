/* SPDX-License-Identifier: Apache-2.0
 *
 * A storm with a theme: one fault that is kept in force and one gap in which whoever comes to it
 * dies, with what brings agents there (somebody joins, is behind, leads anew). Faults that seldom
 * meet by chance, as a rotten disk and a change of the group, meet here. */
#ifndef SIM_THEME_H
#define SIM_THEME_H

#include "sim/chaos.h"

/* Draws a theme for the next storm and makes the world quick; joins are counted from now on. */
void sim_theme_draw(struct sim_chaos *chaos, struct sim *sim);
/* Now and then within the storm. */
void sim_theme_act(struct sim_chaos *chaos, struct sim *sim);

/* ---- chaos.c ---- */
void sim_chaos_lose(struct sim_chaos *chaos, struct sim *sim, enum sim_act what);
void sim_chaos_hunt(struct sim_chaos *chaos, struct sim *sim);
enum sim_loss_kind sim_chaos_loss(struct sim_chaos *chaos);

#endif
