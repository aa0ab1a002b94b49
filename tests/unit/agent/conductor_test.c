/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/conductor.h"

#include "spec/tree.h"
#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct spec_conductor conductor;
static struct spec_errors errors;

#define COMMAND "<VersionCommand><FileName>python3</FileName></VersionCommand>"
#define MODELS  "<TargetModels>1</TargetModels>"
#define TRAIN   "<TrainingCommands>" COMMAND "</TrainingCommands>"

static const char WHOLE[] =
    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n"
    "<Version xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\""
    " xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\r\n"
    "  <Created>2018-12-06T14:22:16.782621+01:00</Created>\r\n"
    "  <LastUpdated>2018-12-06T14:22:16.7826263+01:00</LastUpdated>\r\n"
    "  <Name>rnn &amp; more</Name>\r\n"
    "  <DatasetType>Cargo2000</DatasetType>\r\n"
    "  <VersionStatus><CurrentModels><Any a=\"b\">text</Any></CurrentModels></VersionStatus>\r\n"
    "  <TrainingCommands>\r\n"
    "    <VersionCommand>\r\n"
    "      <FileName>/bin/bash</FileName>\r\n"
    "      <Arguments>-c \"python3 train.py 1 2 &gt; log\"</Arguments>\r\n"
    "      <Parameters>seed 1\n2</Parameters>\r\n"
    "    </VersionCommand>\r\n"
    "    <Command><FileName>python3</FileName><Arguments/></Command>\r\n"
    "  </TrainingCommands>\r\n"
    "  <PredictionCommands>\r\n"
    "    <VersionCommand><FileName>python3</FileName>"
    "<Arguments><![CDATA[predict.py --in \"a b.csv\"]]></Arguments></VersionCommand>\r\n"
    "  </PredictionCommands>\r\n"
    "  <TargetModels>100</TargetModels>\r\n"
    "</Version>\r\n";

static void read_text(const char *text)
{
    if (spec_conductor_read(text, strlen(text), &conductor, &errors) != SH_OK) {
        char line[600];
        (void)spec_error_text(&errors.at[0], "version.xml", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "%s", line);
    }
}

TEST(every_field_of_a_version_is_read)
{
    read_text(WHOLE);
    EXPECT_STR(conductor.name, "rnn & more");
    EXPECT_EQ(conductor.dataset, SPEC_CONDUCTOR_CARGO2000);
    EXPECT_EQ(conductor.target_models, 100);
    EXPECT_EQ(conductor.training_count, 2);
    EXPECT_STR(conductor.training[0].file, "/bin/bash");
    EXPECT_STR(conductor.training[0].arguments, "-c \"python3 train.py 1 2 > log\"");
    EXPECT_STR(conductor.training[0].parameters, "seed 1\n2");
    EXPECT_STR(conductor.training[1].file, "python3");
    EXPECT_STR(conductor.training[1].arguments, "");
    EXPECT_EQ(conductor.prediction_count, 1);
    EXPECT_STR(conductor.prediction[0].arguments, "predict.py --in \"a b.csv\"");
}

TEST(a_version_becomes_a_job_file)
{
    char *text = NULL;
    read_text(WHOLE);
    EXPECT_EQ(spec_conductor_print(&conductor, NULL, &text, &errors), SH_OK);
    EXPECT_STR(text, "# Made of a version.xml of Conductor. DatasetType was Cargo2000.\n"
                     "api: shoal/v1\n"
                     "kind: exec\n"
                     "name: \"rnn---more\"\n"
                     "package: .\n"
                     "replicas: 100\n"
                     "run:\n"
                     "  # \"seed 1\\n2\"\n"
                     "  - [\"/bin/bash\", \"-c\", \"python3 train.py 1 2 > log\"]\n"
                     "  - [\"python3\"]\n"
                     "predict:\n"
                     "  - [\"python3\", \"predict.py\", \"--in\", \"a b.csv\"]\n"
                     "# What Conductor did by itself:\n"
                     "timeout: 84h\n"
                     "metrics: {extract: [keras, conductor]}\n"
                     "abort: [\"loss: nan - val_loss: nan\", "
                     "\"utility[.]exceptions[.]ConductorError\"]\n");
    struct spec_tree *tree = spec_tree_open(text, strlen(text), &errors);
    EXPECT(tree != NULL); /* it is YAML */
    spec_tree_close(tree);
    free(text);
}

TEST(the_folder_names_the_job_as_it_did_there)
{
    char *text = NULL;
    read_text("<Version>" TRAIN MODELS "</Version>");
    EXPECT_EQ(spec_conductor_print(&conductor, "../rnn 3.1/", &text, &errors), SH_OK);
    EXPECT(strstr(text, "name: \"rnn-3.1\"\n") != NULL);
    EXPECT(strstr(text, "predict") == NULL);
    EXPECT(strstr(text, "DatasetType was Generic") != NULL);
    free(text);
    EXPECT_EQ(spec_conductor_print(&conductor, NULL, &text, &errors), SH_ERR_INVALID);
    EXPECT_EQ(errors.count, 1);
    EXPECT_STR(errors.at[0].field, "Version.Name");
}

static const struct {
    const char *text;
    const char *error;
} WRONG[] = {
    {"<Version>" TRAIN "\n<TargetModels>many</TargetModels></Version>",
     "v:2:1: Version.TargetModels: many: must be a whole number of models, 1 to 10000"},
    {"<Version>" TRAIN "<TargetModels>-3</TargetModels></Version>",
     "v:1:108: Version.TargetModels: -3: must be a whole number of models, 1 to 10000"},
    {"<Version>" TRAIN "<TargetModels>0</TargetModels></Version>",
     "v:1:108: Version.TargetModels: 0: must be a whole number of models, 1 to 10000"},
    {"<Version>" TRAIN "<TargetModels>18446744073709551617</TargetModels></Version>",
     "v:1:108: Version.TargetModels: 18446744073709551617: must be a whole number of models, 1 to "
     "10000"},
    {"<Version>" TRAIN "</Version>", "v:1:1: Version.TargetModels: is missing; it says how many "
                                     "models to train, 1 to 10000"},
    {"<Version>" MODELS "</Version>", "v:1:1: Version.TrainingCommands: is missing or empty; at "
                                      "least one VersionCommand trains a model"},
    {"<Version>" TRAIN MODELS "<DatasetType>cargo</DatasetType></Version>",
     "v:1:138: Version.DatasetType: cargo: must be Generic or Cargo2000"},
    {"<Version>" TRAIN MODELS "<TargetModel/></Version>",
     "v:1:138: Version: TargetModel: no such element; there are: Created, LastUpdated, Name, "
     "DatasetType, Status, TrainingCommands, PredictionCommands, TargetModels"},
    {"<Config/>", "v:1:1: Config: no such element; there are: Version"},
    {"<Version>" TRAIN MODELS "<Name>a<b/></Name></Version>",
     "v:1:145: Version.Name: b: no such element; only text stands here"},
    {"<Version>" TRAIN MODELS MODELS "</Version>",
     "v:1:138: Version.TargetModels: is there twice; keep one"},
    {"<Version><TrainingCommands><Command><Arguments>x</Arguments></Command></"
     "TrainingCommands>" MODELS "</Version>",
     "v:1:28: Version.TrainingCommands.Command[0]: FileName is missing; it names the program, such "
     "as python3 or /bin/bash"},
    {"<Version>" TRAIN MODELS "<PredictionCommands>" COMMAND "<Command FileName='a'><FileName>a"
     "</FileName></Command></PredictionCommands></Version>",
     "v:1:219: Version.PredictionCommands.Command[1]: FileName: no such attribute; values are "
     "elements, such as <FileName>python3</FileName>"},
    {"<Version>" TRAIN MODELS "text</Version>",
     "v:1:138: Version: text: elements only, no text, stand here"},
    {"<Version><TrainingCommands>\n<Command><FileName>sh</FileName><Arguments>-c \"a\nb\""
     "</Arguments></Command></TrainingCommands>" MODELS "</Version>",
     "v:2:1: Version.TrainingCommands.Command[0].Arguments: a b: a word has a line break or "
     "control "
     "character; put such a text into a file"},
    {"<!DOCTYPE v [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\n<Version>&b;</Version>",
     "v:1:13: v: a document type is refused; delete the line"},
    {"<Version>" TRAIN MODELS "</Versoin>",
     "v:1:140: Version: not well-formed XML: mismatched tag"},
    {"", "v:1:1: not well-formed XML: no element found"},
    {"<Version>&what;</Version>", "v:1:10: Version: not well-formed XML: undefined entity"},
};

TEST_ROWS(what_is_wrong_is_told_with_line_element_value_and_what_would_be_right, WRONG)
{
    char line[600];
    const char *text = WRONG[tst_row].text;
    EXPECT_EQ(spec_conductor_read(text, strlen(text), &conductor, &errors), SH_ERR_INVALID);
    (void)spec_error_text(&errors.at[0], "v", line, sizeof line);
    EXPECT_STR(line, WRONG[tst_row].error);
}

TEST(all_errors_are_told_at_once)
{
    const char *text = "<Version>\n<DatasetType>x</DatasetType>\n<TargetModels>y</TargetModels>\n"
                       "<Wrong/>\n</Version>";
    EXPECT_EQ(spec_conductor_read(text, strlen(text), &conductor, &errors), SH_ERR_INVALID);
    EXPECT_EQ(errors.count, 4); /* and that there is no command */
    EXPECT_STR(errors.at[0].field, "Version.TrainingCommands");
    EXPECT_STR(errors.at[1].field, "Version.DatasetType");
    EXPECT_STR(errors.at[2].field, "Version.TargetModels");
    EXPECT_STR(errors.at[3].value, "Wrong");
}

static void repeat(char *out, size_t size, const char *what, size_t times)
{
    size_t used = 0;
    for (size_t i = 0; i < times; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s", what);
    }
    EXPECT(used < size);
}

TEST(limits_are_told)
{
    static char text[90000];
    static char inner[80000];
    repeat(inner, sizeof inner, COMMAND, 9);
    (void)snprintf(text, sizeof text,
                   "<Version><TrainingCommands>%s</TrainingCommands>" MODELS "</Version>", inner);
    EXPECT_EQ(spec_conductor_read(text, strlen(text), &conductor, &errors), SH_ERR_INVALID);
    EXPECT_STR(errors.at[0].message, "there may be at most 8 commands");
    repeat(inner, sizeof inner, "0123456789abcdef", 256);
    (void)snprintf(text, sizeof text, "<Version><Name>%s</Name>" TRAIN MODELS "</Version>", inner);
    EXPECT_EQ(spec_conductor_read(text, strlen(text), &conductor, &errors), SH_ERR_INVALID);
    EXPECT_EQ(errors.count, 1);
    EXPECT_STR(errors.at[0].message, "must be at most 4095 bytes");
    repeat(inner, sizeof inner, "0123456789abcdef", 4096);
    (void)snprintf(text, sizeof text, "<Version><Name>%s</Name></Version>", inner);
    EXPECT_EQ(spec_conductor_read(text, strlen(text), &conductor, &errors), SH_ERR_LIMIT);
    EXPECT_EQ(errors.count, 1);
}

TEST(deep_nesting_is_skipped_or_refused_without_recursion)
{
    static char text[65000];
    static char inner[64000];
    repeat(inner, sizeof inner, "<a>", 20000);
    (void)snprintf(text, sizeof text, "<Version><Status>%s", inner);
    EXPECT_EQ(spec_conductor_read(text, strlen(text), &conductor, &errors), SH_ERR_INVALID);
    EXPECT_STR(errors.at[0].message, "not well-formed XML: no element found");
}

static const struct {
    const char *arguments;
    const char *words; /* with '|' between them */
} WORDS[] = {
    {"", ""},
    {"  ", ""},
    {"a b", "a|b"},
    {" a\t b\n", "a|b"},
    {"-c \"python3 x.py\"", "-c|python3 x.py"},
    {"a\"b c\"d", "ab cd"},
    {"\"\" a", "|a"},
    {"\"a\"\"b\"", "a\"b"},
    {"\\\"a\\\"", "\"a\""},
    {"\"C:\\dir\\\\\" x", "C:\\dir\\|x"},
    {"\\\\\\\"x", "\\\"x"},
    {"a\\b \\", "a\\b|\\"},
    {"\"open a", "open a"},
    {"'a b'", "'a|b'"},
};

TEST_ROWS(arguments_are_split_as_dot_net_does, WORDS)
{
    char out[64];
    const char *arguments = WORDS[tst_row].arguments;
    size_t n = spec_conductor_words(arguments, out, strlen(arguments) + 1);
    char joined[80] = "";
    const char *word = out;
    for (size_t i = 0; i < n; i++) {
        size_t used = strlen(joined);
        (void)snprintf(joined + used, sizeof joined - used, "%s%s", i > 0 ? "|" : "", word);
        word += strlen(word) + 1;
    }
    EXPECT((size_t)(word - out) <= strlen(arguments) + 1);
    EXPECT_STR(joined, WORDS[tst_row].words);
    size_t wanted = WORDS[tst_row].words[0] != '\0' ? 1 : 0;
    for (const char *at = strchr(WORDS[tst_row].words, '|'); at != NULL; at = strchr(at + 1, '|')) {
        wanted++;
    }
    EXPECT_EQ(n, wanted);
}
