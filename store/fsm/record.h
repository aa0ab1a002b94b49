/* SPDX-License-Identifier: Apache-2.0
 *
 * The records beside the rows: which generation lives, and per generation what has been applied.
 * Private to store/fsm. Reading answers CORRUPT or VERSION where a record does not pass. */
#ifndef SH_STORE_FSM_RECORD_H
#define SH_STORE_FSM_RECORD_H

#include "store/fsm/rows.h"

/* Of the state that rows reads (the present one or its snapshot). 1 where none was ever put. */
SH_MUST_USE enum sh_err fsm_record_generation(const struct fsm_rows *rows, uint32_t *generation);
/* Zeros where nothing was put. */
SH_MUST_USE enum sh_err fsm_record_applied(const struct fsm_rows *rows, uint64_t *index,
                                           uint64_t *term);
SH_MUST_USE enum sh_err fsm_record_conf(const struct fsm_rows *rows, struct fsm_applied *out);

void fsm_record_put_generation(struct kv_batch *batch, uint32_t cf, uint32_t generation);
void fsm_record_put_applied(struct kv_batch *batch, uint32_t cf, uint32_t generation,
                            uint64_t index, uint64_t term);
SH_MUST_USE enum sh_err fsm_record_put_conf(struct kv_batch *batch, uint32_t cf,
                                            uint32_t generation, uint64_t conf_index,
                                            struct sh_span conf);
/* Everything of the generations first <= g < first_after; first_after 0: all from first on. */
void fsm_record_del(struct kv_batch *batch, uint32_t cf, uint32_t first, uint32_t first_after);

#endif
