/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/graph.h"
#include "spec/model_meta.h"
#include "spec/spec.h"

#include "base/host/host.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB                                                                                        \
    "api: shoal/v1\n"                                                                              \
    "kind: train\n"                                                                                \
    "name: digits\n"                                                                               \
    "data:\n"                                                                                      \
    "  train: builtin:digits\n"                                                                    \
    "  validation: 0.1\n"                                                                          \
    "  test: builtin:digits-test\n"                                                                \
    "model:\n"                                                                                     \
    "  input: [1, 28, 28]\n"                                                                       \
    "  layers:\n"                                                                                  \
    "    - conv2d: {filters: 8, kernel: 5, padding: same}\n"                                       \
    "    - relu\n"                                                                                 \
    "    - maxpool: 2\n"                                                                           \
    "    - flatten\n"                                                                              \
    "    - dense: 10\n"                                                                            \
    "train:\n"                                                                                     \
    "  optimizer: {sgd: {lr: 0.05, momentum: 0.9}}\n"                                              \
    "  schedule: linear\n"                                                                         \
    "  batch: 256\n"                                                                               \
    "  ranks: 16\n"                                                                                \
    "  epochs: 8\n"                                                                                \
    "  seed: 1\n"                                                                                  \
    "resources: {agents: {min: 1, max: 8}, cpus: 1}\n"                                             \
    "checkpoint: {every_steps: 50, keep: 3}\n"

#define JOB_CANONICAL                                                                              \
    "{\"api\":\"shoal/"                                                                            \
    "v1\",\"arithmetic\":\"same\",\"checkpoint\":{\"every_steps\":50,\"keep\":3},"                 \
    "\"data\":{\"normalize\":\"standard\",\"test\":\"builtin:digits-test\",\"train\":"             \
    "\"builtin:digits\",\"validation\":0.1},\"kind\":\"train\",\"model\":{\"input\":[1,28,28],"    \
    "\"layers\":[{\"conv2d\":{\"bias\":true,\"filters\":8,\"kernel\":5,\"padding\":\"same\","      \
    "\"stride\":1}},{\"relu\":{}},{\"maxpool\":{\"kernel\":2,\"padding\":0,\"stride\":2}},"        \
    "{\"flatten\":{}},{\"dense\":{\"bias\":true,\"units\":10}}]},\"name\":\"digits\","             \
    "\"priority\":50,\"reproducible\":true,\"resources\":{\"agents\":{\"max\":8,\"min\":1},"       \
    "\"cpus\":1},\"retries\":2,\"train\":{\"batch\":256,\"classes\":10,\"epochs\":8,\"loss\":"     \
    "\"cross_entropy\",\"optimizer\":{\"sgd\":{\"lr\":0.05,\"momentum\":0.9,\"nesterov\":false,"   \
    "\"weight_decay\":0.0}},\"ranks\":16,\"schedule\":{\"linear\":{\"final\":0.0,"                 \
    "\"warmup_steps\":0}},\"seed\":1}}"

static struct spec_job job;
static struct spec_errors errors;

/* text with the first `from` replaced by `to`; static storage. */
static const char *edited(const char *text, const char *from, const char *to)
{
    static char out[65536];
    const char *at = strstr(text, from);
    EXPECT(at != NULL);
    (void)snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void parse_good(const char *text)
{
    enum sh_err err = spec_parse(text, strlen(text), &job, &errors);
    if (err != SH_OK) {
        char line[512];
        (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "refused: %s", line);
    }
}

static const char *canonical(void)
{
    static char out[SH_SPEC_BYTES_MAX];
    size_t length = 0;
    EXPECT(spec_canonical(&job, out, sizeof out, &length) == SH_OK);
    EXPECT_EQ(length, strlen(out));
    return out;
}

TEST(a_yaml_job_has_one_canonical_form_with_all_defaults)
{
    parse_good(JOB);
    EXPECT_STR(canonical(), JOB_CANONICAL);
}

TEST(a_noop_job_has_one_canonical_form_with_all_defaults)
{
    parse_good(
        "{\"name\": \"n.\\u0031\", \"kind\": \"noop\", \"api\": \"shoal\\/v1\", \"retries\": 0}");
    EXPECT_STR(canonical(),
               "{\"api\":\"shoal/v1\",\"kind\":\"noop\",\"name\":\"n.1\",\"priority\":50,"
               "\"resources\":{\"cpus\":0},\"retries\":0,\"units\":1}");
    size_t length = strlen(canonical());
    char out[256];
    EXPECT(spec_canonical(&job, out, length, &length) == SH_ERR_LIMIT);
    EXPECT(spec_canonical(&job, out, length + 1, &length) == SH_OK);
}

#define WHERE                                                                                      \
    "{gpus: 1, gpu_ram: 16GiB, disk: 1GiB, per_node: 2, spread: pack, labels: [disk=nvme, "        \
    "'zone!=attic'], nodes: {allow: [a, b], deny: [c]}, cpus: 2, ram: 1KiB}"
#define WHERE_CANONICAL                                                                            \
    "\"cpus\":2,\"disk\":1073741824,\"gpu_ram\":17179869184,\"gpus\":1,\"labels\":[\"disk="        \
    "nvme\",\"zone!=attic\"],\"nodes\":{\"allow\":[\"a\",\"b\"],\"deny\":[\"c\"]},\"per_node\":2," \
    "\"ram\":1024,\"spread\":\"pack\"}"

TEST(what_a_job_needs_of_agents_has_one_canonical_form)
{
    char first[1024];
    char out[SPEC_WHERE_MAX + 1];
    parse_good("{\"name\": \"n\", \"kind\": \"noop\", \"api\": \"shoal/v1\"}");
    EXPECT(spec_conditions(&job, out, sizeof out));
    EXPECT_STR(out, "");
    parse_good("api: shoal/v1\nkind: noop\nname: n\nresources: " WHERE "\n");
    EXPECT(strstr(canonical(), "\"resources\":{" WHERE_CANONICAL ",\"retries\"") != NULL);
    EXPECT(spec_conditions(&job, out, sizeof out));
    EXPECT_STR(out, "disk=nvme;zone!=attic;name in (a, b);name notin (c)");
    (void)snprintf(first, sizeof first, "%s", canonical());
    parse_good(first);
    EXPECT_STR(canonical(), first);
    parse_good(edited(JOB, "{agents: {min: 1, max: 8}, cpus: 1}", WHERE));
    EXPECT(strstr(canonical(),
                  "\"resources\":{\"agents\":{\"max\":16,\"min\":1}," WHERE_CANONICAL) != NULL);
}

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

TEST(where_training_starts_has_one_canonical_form_and_is_whole)
{
    static char first[8192];
    char line[512];
    parse_good(edited(JOB, "kind: train\n",
                      "kind: train\nstart: {job: 7, step: 43, checkpoint: " DIGEST "}\n"));
    EXPECT(strstr(canonical(), "\"start\":{\"checkpoint\":\"" DIGEST
                               "\",\"job\":7,\"step\":43},\"train\"") != NULL);
    (void)snprintf(first, sizeof first, "%s", canonical());
    parse_good(first);
    EXPECT_STR(canonical(), first);
    const char *text =
        edited(JOB, "kind: train\n", "kind: train\nstart: {job: 7, step: 43, checkpoint: f00}\n");
    EXPECT_EQ(spec_parse(text, strlen(text), &job, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT(strstr(line, "start.checkpoint: f00: must be the 64 hexadecimal digits") != NULL);
}

TEST(the_digest_of_a_job_never_changes)
{
    parse_good(JOB);
    uint8_t digest[SH_DIGEST_BYTES];
    spec_digest(&job, digest);
    char hex[2 * SH_DIGEST_BYTES + 1];
    sh_hex(hex, digest, sizeof digest);
    EXPECT_STR(hex, "9ec8cd3856ebe7f0ab16c3a1f74cc2eb3fb2f70cdd02e6ff5148f61dc596798c");
}

TEST(parsing_the_canonical_form_gives_the_same_canonical_form)
{
    parse_good(JOB_CANONICAL);
    EXPECT_STR(canonical(), JOB_CANONICAL);
}

TEST(key_order_blanks_and_notation_do_not_change_the_canonical_form)
{
    parse_good("{ \"kind\": \"noop\",\n\t\"units\": 3, \"name\": \"n\", \"api\": \"shoal/v1\" }\n");
    char first[512];
    (void)snprintf(first, sizeof first, "%s", canonical());
    parse_good("name: n\napi: shoal/v1\nkind: noop\nunits: 3\nkeep: {results: 7}\n");
    EXPECT_EQ(job.keep_results, 7);
    EXPECT(strstr(canonical(), "\"keep\":{\"results\":7},\"kind\"") != NULL);
    parse_good("# comment\nname: n\napi: 'shoal/v1'\nunits: 3\nkind: noop\n");
    EXPECT_STR(canonical(), first);
}

TEST(fields_of_the_job_hold_what_the_file_says)
{
    parse_good(JOB);
    EXPECT(job.kind == SPEC_TRAIN);
    EXPECT_STR(job.name, "digits");
    EXPECT(job.data.train.kind == SPEC_SOURCE_BUILTIN);
    EXPECT_STR(job.data.test.name, "digits-test");
    EXPECT_NEAR(job.data.validation_fraction, 0.1, 1e-15);
    EXPECT_EQ(job.model.layer_count, 5);
    EXPECT(job.model.layers[0].padding == SPEC_PADDING_SAME);
    EXPECT_EQ(job.model.layers[2].stride, 2);
    EXPECT_EQ(job.model.layers[4].units, 10);
    EXPECT_NEAR(job.train.optimizer.momentum, 0.9, 1e-15);
    EXPECT(job.train.schedule.kind == SPEC_LINEAR);
    EXPECT_EQ(job.train.class_count, 10);
    EXPECT_EQ(job.agents_max, 8);
    EXPECT_EQ(job.checkpoint_every_steps, 50);
}

static const struct {
    const char *from;
    const char *to;
    const char *error; /* the first one, as the command line prints it */
} WRONG[] = {
    {"api: shoal/v1\n", "", "job.yaml:1:1: api: is missing"},
    {"shoal/v1", "shoal/v2", "job.yaml:1:6: api: shoal/v2: must be shoal/v1"},
    {"kind: train", "kind: sweep",
     "job.yaml:2:7: kind: sweep: no such kind of job; there are: train, exec, fine-tune, evaluate, "
     "predict, ensemble, data-prep, rl, noop"},
    {"kind: train\n", "",
     "job.yaml:1:1: kind: is missing; there are: train, exec, fine-tune, evaluate, predict, "
     "ensemble, data-prep, rl, noop"},
    {"name: digits\n", "", "job.yaml:1:1: name: is missing"},
    {"name: digits", "name: my digits",
     "job.yaml:3:7: name: my digits: must be a name: up to 63 letters, digits, '.', '_' and '-', "
     "the first a letter or digit"},
    {"  batch: 256", "  bach: 256", "job.yaml:19:3: train: bach: unknown key; did you mean batch?"},
    {"checkpoint:", "checkpoints:",
     "job.yaml:24:1: checkpoints: unknown key; did you mean checkpoint?"},
    {"  seed: 1", "  colour: 1",
     "job.yaml:22:3: train: colour: unknown key; there are: optimizer, schedule, local, wire, "
     "batch, ranks, epochs, seed, loss, classes"},
    {"batch: 256", "batch: many",
     "job.yaml:19:10: train.batch: many: must be a whole number from 1 to 1048576"},
    {"batch: 256", "batch: \"256\"",
     "job.yaml:19:10: train.batch: \"256\": must be a whole number from 1 to 1048576"},
    {"batch: 256", "batch: 0",
     "job.yaml:19:10: train.batch: 0: must be a whole number from 1 to 1048576"},
    {"batch: 256", "batch: 1.5",
     "job.yaml:19:10: train.batch: 1.5: must be a whole number from 1 to 1048576"},
    {"batch: 256", "batch: 250",
     "job.yaml:19:10: train.batch: 250: must be divisible by train.ranks (16), such as 256"},
    {"  batch: 256\n  ranks: 16\n", "  ranks: 512\n",
     "job.yaml:19:10: train.ranks: 512: must be a whole number from 1 to 256"},
    {"ranks: 16", "ranks: 12",
     "job.yaml:20:10: train.ranks: 12: must be a power of two: 1, 2, 4, 8, 16, 32, 64, 128 or 256"},
    {"  batch: 256\n  ranks: 16\n", "  batch: 100\n",
     "job.yaml:19:10: train.batch: 100: must be divisible by train.ranks (16), such as 112"},
    {"lr: 0.05", "lr: 0",
     "job.yaml:17:25: train.optimizer.sgd.lr: 0: must be a number above 0 and at most 1000"},
    {"lr: 0.05", "lr: .nan",
     "job.yaml:17:25: train.optimizer.sgd.lr: .nan: must be a number above 0 and at most 1000"},
    {"momentum: 0.9", "momentum: 1",
     "job.yaml:17:41: train.optimizer.sgd.momentum: 1: must be a number at least 0 and below 1"},
    {"momentum: 0.9", "nesterov: true",
     "job.yaml:17:41: train.optimizer.sgd.nesterov: true: needs a momentum above 0"},
    {"  seed: 1", "  local: {}", "job.yaml:22:10: train.local.steps: is missing"},
    {"  seed: 1", "  local: {steps: 0}",
     "job.yaml:22:18: train.local.steps: 0: must be a whole number from 1 to 100000"},
    {"  seed: 1", "  local: {steps: 5, outer: {sgd: {momentum: 2}}}",
     "job.yaml:22:45: train.local.outer.sgd.momentum: 2: must be a number at least 0 and below 1"},
    {"  seed: 1", "  local: {steps: 5, warmup_epochs: 8}",
     "job.yaml:22:36: train.local.warmup_epochs: 8: must be below train.epochs (8), or leave out "
     "local"},
    {"  seed: 1", "  wire: int4",
     "job.yaml:22:9: train.wire: int4: unknown wire; did you mean int8?"},
    {"  seed: 1", "  wire: {int8: {blocks: 3}}",
     "job.yaml:22:16: train.wire.int8: a map: has nothing to set: write wire: int8"},
    {"  seed: 1", "  wire: {topk: {fraction: 0}}",
     "job.yaml:22:27: train.wire.topk.fraction: 0: must be a number above 0 and at most 0.5"},
    {"  seed: 1", "  wire: {topk: 0.1}",
     "job.yaml:22:16: train.wire.topk: 0.1: must be a map, such as {fraction: ...}"},
    {"  seed: 1\n", "  wire: bf16\nreproducible: true\n",
     "job.yaml:23:15: reproducible: true: not possible with train.wire: what a sum loses on the "
     "way depends on who computes which ranks"},
    {"{sgd: {lr: 0.05, momentum: 0.9}}", "adagrad",
     "job.yaml:17:14: train.optimizer: adagrad: unknown optimizer; there are: sgd, adamw"},
    {"{sgd: {lr: 0.05, momentum: 0.9}}", "{sgd: {}, adamw: {}}",
     "job.yaml:17:24: train.optimizer: adamw: one optimizer at a time; sgd stands here already"},
    {"schedule: linear", "schedule: linaer",
     "job.yaml:18:13: train.schedule: linaer: unknown schedule; did you mean linear?"},
    {"train: builtin:digits\n", "train: builtin:letters\n",
     "job.yaml:5:10: data.train: builtin:letters: there are: builtin:digits, builtin:digits-test"},
    {"  train: builtin:digits\n", "", "job.yaml:5:3: data.train: is missing"},
    {"train: builtin:digits\n", "train: dataset:a/b\n",
     "job.yaml:5:10: data.train: dataset:a/b: must be dataset:NAME, NAME of letters, digits, '.', "
     "'_' and '-'"},
    {"train: builtin:digits\n", "train: files:beef\n",
     "job.yaml:5:10: data.train: files:beef: must be files: and the 64 hexadecimal digits of a "
     "file set"},
    {"train: builtin:digits\n  validation: 0.1\n  test: builtin:digits-test\n",
     "train: dataset:a\n  test: dataset:b\n",
     "job.yaml:6:9: data.test: dataset:b: a job reads one node-local data set, and dataset:a is "
     "one already"},
    {"validation: 0.1", "validation: 0.6",
     "job.yaml:6:15: data.validation: 0.6: must be a part of data.train from 0 to 0.5, or a data "
     "set"},
    {"input: [1, 28, 28]", "input: [28, 28]",
     "job.yaml:9:10: model.input: a list: must be [channels, height, width] for images or "
     "[columns] for tables"},
    {"input: [1, 28, 28]", "input: [1, 0, 28]",
     "job.yaml:9:14: model.input[1]: 0: must be a whole number from 1 to 65536"},
    {"input: [1, 28, 28]", "input: [1, 32, 32]",
     "job.yaml:9:10: model.input: must be [1, 28, 28], the shape of builtin:digits"},
    {"    - relu\n", "    - rellu\n",
     "job.yaml:12:7: model.layers[1]: rellu: unknown layer; did you mean relu?"},
    {"    - relu\n", "    - wormhole: 4\n",
     "job.yaml:12:7: model.layers[1]: wormhole: unknown layer; there are: conv2d, maxpool, "
     "avgpool, relu, gelu, batchnorm, dropout, flatten, dense, add, embedding, positions, "
     "layernorm, attention, residual"},
    {"    - relu\n", "    - relu: 3\n",
     "job.yaml:12:13: model.layers[1].relu: 3: takes no parameters: write it as a bare word"},
    {"    - relu\n", "    - dropout: 1\n",
     "job.yaml:12:16: model.layers[1].dropout: 1: must be a number at least 0 and below 1"},
    {"    - relu\n", "    - dense\n",
     "job.yaml:12:7: model.layers[1]: dense: needs parameters: {dense: {units: ...}}"},
    {"    - relu\n", "    - add: stem\n",
     "job.yaml:12:12: model.layers[1].add: stem: must be the name of an earlier layer, given as "
     "{name: ..., conv2d: ...}"},
    {"filters: 8, ", "", "job.yaml:11:15: model.layers[0].conv2d.filters: is missing"},
    {"padding: same", "padding: -1",
     "job.yaml:11:48: model.layers[0].conv2d.padding: -1: must be same, valid, or pixels from 0 to "
     "4096"},
    {"padding: same", "padding: some",
     "job.yaml:11:48: model.layers[0].conv2d.padding: some: must be same, valid, or pixels from 0 "
     "to 4096"},
    {"{min: 1, max: 8}", "{min: 9, max: 8}",
     "job.yaml:23:27: resources.agents.min: 9: must not exceed resources.agents.max (8)"},
    {"{min: 1, max: 8}", "32",
     "job.yaml:23:21: resources.agents: 32: must not exceed train.ranks (16): an agent computes at "
     "least one rank"},
    {", cpus: 1}", ", min_cpu_cores: 4}",
     "job.yaml:23:39: resources: min_cpu_cores: unknown key; here it is cpus"},
    {", cpus: 1}", ", gpus: 256}",
     "job.yaml:23:45: resources.gpus: 256: must be a whole number from 0 to 255"},
    {", cpus: 1}", ", gpu_ram: 1GiB}",
     "job.yaml:23:12: resources.gpu_ram: is the memory of each GPU: say with resources.gpus how "
     "many"},
    {", cpus: 1}", ", disk: much}",
     "job.yaml:23:45: resources.disk: much: must be a size such as 512MiB or 8GiB"},
    {", cpus: 1}", ", labels: [zone lab]}",
     "job.yaml:23:48: resources.labels[0]: zone lab: must be a condition on labels of agents, such "
     "as disk=nvme, zone!=attic, isa>=avx512, os in (debian, ubuntu), fast, !slow"},
    {", cpus: 1}", ", nodes: {allow: [../x]}}",
     "job.yaml:23:55: resources.nodes.allow[0]: ../x: must be the name of an agent"},
    {", cpus: 1}", ", nodes: {only: x}}",
     "job.yaml:23:47: resources.nodes: only: unknown key; there are: allow, deny"},
    {", cpus: 1}", ", spread: wide}",
     "job.yaml:23:47: resources.spread: wide: must be one of: auto, spread, pack"},
    {", cpus: 1}", ", per_node: -1}",
     "job.yaml:23:49: resources.per_node: -1: must be a whole number from 0 to 10000"},
    {"keep: 3", "keep: 65",
     "job.yaml:24:37: checkpoint.keep: 65: must be a whole number from 1 to 64"},
    {"checkpoint:", "keep: {results: 0}\ncheckpoint:",
     "job.yaml:24:17: keep.results: 0: must be a whole number from 1 to 1000"},
    {"checkpoint:", "arithmetic: portable\ncheckpoint:",
     "job.yaml:24:13: arithmetic: portable: must be one of: same, any"},
    {"checkpoint:", "arithmetic: any\nreproducible: true\ncheckpoint:",
     "job.yaml:25:15: reproducible: true: not possible with arithmetic: any, which mixes "
     "arithmetic classes"},
    {"checkpoint:", "reproducible: yes\ncheckpoint:",
     "job.yaml:24:15: reproducible: yes: must be true or false"},
    {"  seed: 1\n", "  classes: 3\n",
     "job.yaml:22:12: train.classes: 3: must be 10, the outputs of the last layer"},
    {"  seed: 1\n", "  classes: [a, b, a]\n",
     "job.yaml:22:19: train.classes[2]: a: is the name of class 0 already"},
    {"    - dense: 10\n", "    - dense: 5\n",
     "job.yaml:11:5: model.layers: the last layer has 5 outputs; builtin:digits needs 10"},
    {"  seed: 1\n", "  loss: mse\n",
     "job.yaml:11:5: model.layers: with loss: mse the last layer must have 1 output, not 10"},
    {"name: digits", "name: digits\nname: again",
     "job.yaml:4:1: name: the same key stands on line 3 already"},
    {"name: digits", "name: &a digits", "job.yaml:3:7: anchors are not used in job files"},
    {"name: digits", "name: *a", "job.yaml:3:7: aliases are not used in job files"},
    {"name: digits", "name: !!str digits", "job.yaml:3:7: tags are not used in job files"},
    {"name: digits", "name: \"a\\tb\"",
     "job.yaml:3:7: text must be one line without control characters"},
    {"  seed: 1\n", "  seed: 1\n ranks: 2\n", "job.yaml:23:2: not YAML: did not find expected key"},
};

TEST_ROWS(each_mistake_is_named_with_place_field_value_and_what_is_right, WRONG)
{
    const char *text = edited(JOB, WRONG[tst_row].from, WRONG[tst_row].to);
    EXPECT(spec_parse(text, strlen(text), &job, &errors) == SH_ERR_INVALID);
    EXPECT(errors.count > 0);
    char line[512];
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
    EXPECT_EQ(errors.count, 1);
}

static const struct {
    const char *text;
    const char *error;
} WRONG_FILES[] = {
    {"", "job.yaml: the file is empty"},
    {"# nothing\n", "job.yaml: the file is empty"},
    {"- a\n- b\n",
     "job.yaml:1:1: a list: must be a map, such as {api: shoal/v1, kind: train, ...}"},
    {"{\"api\": \"shoal/v1\",\n \"kind\" \"noop\"}",
     "job.yaml:2:14: not JSON: ':' expected near '\"noop\"'"},
    {"{\"api\": \"shoal/v1\",\n \"kind\": \"noop\",\n  \"name\": 7, \"units\": 0}",
     "job.yaml:3:23: units: 0: must be a whole number from 1 to 10000"},
    {"{\"api\": \"shoal/v1\", \"api\": \"shoal/v1\"}",
     "job.yaml:1:25: not JSON: duplicate object key near '\"api\"'"},
    {"api: shoal/v1\nkind: noop\nname: n\nmodel: {}\n",
     "job.yaml:4:1: model: unknown key; there are: api, kind, name, priority, retries, keep, "
     "units, resources"},
    {"api: shoal/v1\nkind: noop\nname: n\n---\nkind: noop\n",
     "job.yaml:4:1: further documents are not used in job files"},
    {"api: shoal/v1\nkind: noop\nname: \xff\n",
     "job.yaml:3:7: not UTF-8 text: invalid leading UTF-8 octet"},
    {"{a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
     "job.yaml:1:2: not JSON: string or '}' expected near 'a'"},
    {"a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "job.yaml:1:19: nested deeper than 16 levels"},
    {"? [a, b]\n: c\n", "job.yaml:1:3: a key must be text"},
};

TEST_ROWS(a_text_that_is_no_job_file_is_refused_with_its_place, WRONG_FILES)
{
    const char *text = WRONG_FILES[tst_row].text;
    EXPECT(spec_parse(text, strlen(text), &job, &errors) == SH_ERR_INVALID);
    char line[512];
    (void)spec_error_text(&errors.at[0], "job.yaml", line, sizeof line);
    EXPECT_STR(line, WRONG_FILES[tst_row].error);
}

TEST(all_mistakes_are_reported_at_once_in_the_order_of_the_text)
{
    const char *text = "api: shoal/v1\nkind: noop\nname: ''\nunits: x\ncolour: red\n";
    EXPECT(spec_parse(text, strlen(text), &job, &errors) == SH_ERR_INVALID);
    EXPECT_EQ(errors.count, 3);
    EXPECT_STR(errors.at[0].field, "name");
    EXPECT_STR(errors.at[1].field, "units");
    EXPECT_STR(errors.at[2].value, "colour");
    EXPECT_EQ(errors.at[2].line, 5);
}

TEST(more_mistakes_than_the_list_holds_are_cut_off)
{
    char text[1024] = "api: shoal/v1\nkind: noop\nname: n\n";
    for (unsigned i = 0; i < 2 * SPEC_ERRORS_MAX; i++) {
        size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "x%u: 1\n", i);
    }
    EXPECT(spec_parse(text, strlen(text), &job, &errors) == SH_ERR_INVALID);
    EXPECT_EQ(errors.count, SPEC_ERRORS_MAX);
}

TEST(a_text_larger_than_the_limit_is_refused_unread)
{
    char *text = calloc(1, SH_SPEC_BYTES_MAX + 1);
    EXPECT(text != NULL);
    EXPECT(spec_parse(text, SH_SPEC_BYTES_MAX + 1, &job, &errors) == SH_ERR_LIMIT);
    EXPECT_EQ(errors.count, 1);
    free(text);
}

TEST(a_long_value_is_cut_and_stays_one_line)
{
    char text[512];
    (void)snprintf(text, sizeof text, "api: %0200d\nkind: noop\nname: n\n", 7);
    EXPECT(spec_parse(text, strlen(text), &job, &errors) == SH_ERR_INVALID);
    EXPECT_EQ(strlen(errors.at[0].value), sizeof errors.at[0].value - 1);
    EXPECT_STR(errors.at[0].value + sizeof errors.at[0].value - 4, "...");
}

TEST(a_wire_that_loses_something_has_one_canonical_form_and_is_not_reproducible)
{
    static const struct {
        const char *text;
        const char *canonical;
        enum kn_codec_kind kind;
    } ROWS[] = {
        {"  wire: f32", NULL, KN_CODEC_F32},
        {"  wire: bf16", "\"wire\":\"bf16\"", KN_CODEC_BF16},
        {"  wire: int8", "\"wire\":\"int8\"", KN_CODEC_INT8},
        {"  wire: topk", "\"wire\":{\"topk\":{\"fraction\":0.05", KN_CODEC_TOPK},
        {"  wire: {topk: {fraction: 0.1}}", "\"wire\":{\"topk\":{\"fraction\":0.1", KN_CODEC_TOPK}};
    for (size_t i = 0; i < SH_COUNT(ROWS); i++) {
        parse_good(edited(JOB, "  seed: 1", ROWS[i].text));
        EXPECT_EQ(job.train.wire.kind, ROWS[i].kind);
        EXPECT_EQ(job.reproducible, ROWS[i].canonical == NULL);
        const char *wire = strstr(canonical(), "\"wire\"");
        EXPECT_EQ(wire == NULL, ROWS[i].canonical == NULL);
        EXPECT(wire == NULL || strncmp(wire, ROWS[i].canonical, strlen(ROWS[i].canonical)) == 0);
        char first[8192];
        (void)snprintf(first, sizeof first, "%s", canonical());
        parse_good(first);
        EXPECT_STR(canonical(), first);
    }
}

TEST(mixed_arithmetic_is_not_reproducible_unless_refused)
{
    parse_good(edited(JOB, "checkpoint:", "arithmetic: any\ncheckpoint:"));
    EXPECT(job.arithmetic == SPEC_ARITHMETIC_ANY);
    EXPECT(!job.reproducible);
}

TEST(without_a_limit_a_job_takes_as_many_agents_as_it_has_ranks)
{
    parse_good(edited(JOB, "resources: {agents: {min: 1, max: 8}, cpus: 1}\n", ""));
    EXPECT_EQ(job.agents_min, 1);
    EXPECT_EQ(job.agents_max, 16);
}

TEST(class_names_are_kept_in_their_order)
{
    parse_good(edited(JOB, "  seed: 1\n", "  classes: [z, y, x, w, v, u, t, s, r, \"10\"]\n"));
    EXPECT(job.train.classes_named);
    EXPECT_EQ(job.train.class_count, 10);
    EXPECT_STR(job.train.classes[0], "z");
    EXPECT_STR(job.train.classes[9], "10");
}

TEST(a_residual_sum_reads_the_layer_it_names)
{
    const char *layers = "    - {name: stem, conv2d: {filters: 4, kernel: 3, padding: same}}\n"
                         "    - relu\n"
                         "    - conv2d: {filters: 4, kernel: 3, padding: same}\n"
                         "    - add: stem\n";
    parse_good(edited(JOB, "    - conv2d: {filters: 8, kernel: 5, padding: same}\n", layers));
    EXPECT(job.model.layers[3].kind == SPEC_ADD);
    EXPECT_EQ(job.model.layers[3].from, 0);
    char again[8192];
    (void)snprintf(again, sizeof again, "%s", canonical());
    parse_good(again);
    EXPECT_STR(canonical(), again);
}

TEST(a_layer_whose_shape_does_not_fit_is_named)
{
    const char *text = edited(JOB, "    - flatten\n", "");
    EXPECT(spec_parse(text, strlen(text), &job, &errors) == SH_ERR_INVALID);
    EXPECT_EQ(errors.count, 1);
    EXPECT_STR(errors.at[0].field, "model.layers[3].dense");
    EXPECT_EQ(errors.at[0].line, 14);
    EXPECT(strstr(errors.at[0].message, "flatten") != NULL);
}

TEST(the_layer_table_adds_up)
{
    parse_good(JOB);
    static struct spec_table table;
    EXPECT(spec_table_make(&job, &table) == SH_OK);
    EXPECT_EQ(table.count, 5);
    EXPECT_STR(table.rows[0].kind, "conv2d");
    EXPECT_EQ(table.rows[0].params, 8 * 25 + 8);
    EXPECT_EQ(table.rows[4].params, 8 * 14 * 14 * 10 + 10);
    EXPECT_EQ(table.params, table.rows[0].params + table.rows[4].params);
    EXPECT(table.bytes_shared >= 3 * 4 * table.params);
    EXPECT(table.bytes_rank > 0);
}

static const char *const EXAMPLES[] = {
    "digits.yaml",    "mnist.yaml", "iris-csv.yaml", "noop.yaml",          "sweep.yaml",
    "hyperband.yaml", "rl.yaml",    "script.yaml",   "spoken-digits.yaml", "shakespeare.yaml"};

TEST_ROWS(every_example_is_a_valid_job_file, EXAMPLES)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/docs/examples/%s", TST_SOURCE_DIR, EXAMPLES[tst_row]);
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL);
    static char text[65536];
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    parse_good(text);
}

TEST(every_whole_job_in_the_documentation_is_valid)
{
    static char text[65536];
    FILE *file = fopen(TST_SOURCE_DIR "/docs/JOBFILE.md", "rb");
    EXPECT(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    unsigned jobs = 0;
    for (char *at = strstr(text, "```yaml\n"); at != NULL; at = strstr(at, "```yaml\n")) {
        at += strlen("```yaml\n");
        char *end = strstr(at, "```");
        EXPECT(end != NULL);
        *end = '\0';
        parse_good(at);
        at = end + 1;
        jobs++;
    }
    EXPECT_EQ(jobs, 11);
}
