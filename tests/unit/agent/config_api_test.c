/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of the cluster and marks of agents, over HTTP. */
#include "api_rig.h"
#include "tst.h"

#include <string.h>

static const char *error_text(const json_t *v, const char *key)
{
    return text_of(json_object_get(v, "error"), key);
}

TEST(a_setting_that_was_put_is_read_until_it_is_null)
{
    start();
    json_t *v = call("GET", "/api/v1/config", NULL, 200);
    EXPECT_EQ(json_object_size(json_object_get(v, "config")), 0);
    json_decref(v);
    v = call("PUT", "/api/v1/config", "{\"reserve\": 0.34, \"quota.alice\": 3}", 200);
    EXPECT_EQ(json_object_size(json_object_get(v, "config")), 2);
    json_decref(v);
    v = call("GET", "/api/v1/config", NULL, 200);
    const json_t *config = json_object_get(v, "config");
    EXPECT_EQ(number_of(config, "quota.alice"), 3);
    double reserve = json_real_value(json_object_get(config, "reserve"));
    EXPECT(reserve > 0.339 && reserve < 0.341);
    json_decref(v);
    v = call("PUT", "/api/v1/config", "{\"reserve\": null}", 200);
    EXPECT(json_object_get(json_object_get(v, "config"), "reserve") == NULL);
    EXPECT_EQ(number_of(json_object_get(v, "config"), "quota.alice"), 3);
    json_decref(v);
    stop();
}

static const struct {
    const char *body;
    const char *field;
    const char *value;
    const char *right; /* in the message */
} wrong[] = {
    {"{\"reserve\": 1.5}", "reserve", "1.5", "from 0 to 1"},
    {"{\"reserve\": -0.1}", "reserve", "-0.1", "from 0 to 1"},
    {"{\"reserve\": \"much\"}", "reserve", "\"much\"", "from 0 to 1"},
    {"{\"quota.alice\": 0}", "quota.alice", "0", "whole number from 1 to 100000"},
    {"{\"quota.alice\": 2.5}", "quota.alice", "2.5", "whole number from 1 to 100000"},
    {"{\"quota.a b\": 2}", "key", "quota.a b", "there are: reserve, keep-results, quota.OWNER"},
    {"{\"colour\": 2}", "key", "colour", "there are: reserve, keep-results, quota.OWNER"},
    {"{}", "body", "", "must be a map"},
    {"[1]", "body", "", "must be a map"},
    {"{", "body", "", "must be a map"},
};

TEST_ROWS(a_wrong_setting_is_named_with_what_would_be_right, wrong)
{
    start();
    json_t *v = call("PUT", "/api/v1/config", wrong[tst_row].body, 400);
    EXPECT_STR(error_text(v, "field"), wrong[tst_row].field);
    EXPECT_STR(error_text(v, "value"), wrong[tst_row].value);
    EXPECT(strstr(error_text(v, "message"), wrong[tst_row].right) != NULL);
    json_decref(v);
    v = call("GET", "/api/v1/config", NULL, 200);
    EXPECT_EQ(json_object_size(json_object_get(v, "config")), 0);
    json_decref(v);
    stop();
}

TEST(an_agent_is_drained_and_undrained_by_name)
{
    start();
    json_decref(call("POST", "/api/v1/nodes/alpha/drain", NULL, 200));
    json_t *v = call("GET", "/api/v1/nodes/alpha", NULL, 200);
    EXPECT(json_is_true(json_object_get(v, "draining")));
    json_decref(v);
    json_decref(call("POST", "/api/v1/nodes/alpha/undrain", NULL, 200));
    v = call("GET", "/api/v1/nodes/alpha", NULL, 200);
    EXPECT(json_is_false(json_object_get(v, "draining")));
    EXPECT_STR(text_of(v, "policy"), "none");
    EXPECT(json_is_null(json_object_get(v, "health")));
    EXPECT(json_is_array(json_object_get(v, "models")));
    json_decref(v);
    json_decref(call("POST", "/api/v1/nodes/nobody/drain", NULL, 404));
    stop();
}

TEST(only_an_agent_in_quarantine_is_paroled)
{
    start();
    json_t *v = call("POST", "/api/v1/nodes/alpha/parole", NULL, 409);
    EXPECT_STR(error_text(v, "message"), "agent alpha is not in quarantine");
    json_decref(v);
    stop();
}

TEST(an_owner_that_is_no_name_is_refused)
{
    start();
    json_t *v = call("POST", "/api/v1/jobs?owner=a%20b",
                     "{\"api\":\"shoal/v1\",\"kind\":\"noop\",\"name\":\"n\"}", 400);
    EXPECT_STR(error_text(v, "field"), "owner");
    EXPECT_STR(error_text(v, "value"), "a b");
    json_decref(v);
    stop();
}
