/* SPDX-License-Identifier: Apache-2.0 */
#include "stores.h"

const struct kv_cf stores_state_families[STORES_STATE_CFS] = {
    {"meta", KV_CF_SMALL}, {"log", KV_CF_SMALL}, {"fsm", KV_CF_ROWS}};
const struct kv_cf stores_bulk_families[STORES_BULK_CFS] = {{"blob", KV_CF_LARGE},
                                                            {"series", KV_CF_TEXT}};
