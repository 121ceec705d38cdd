/*
 * The other end of the ABI: a face SDK with a camera that always sees the same person.
 *
 * It keeps the documented order: init first; an authinfo that was made for this device, appid,
 * merchant and store; after getWxpayfaceCode nothing but getWxpayAuth, with strings; release
 * closes everything. It counts the memory it hands out, and spoils what it gets back.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE "SN-1"
#define LONGEST 8192
#define RAWDATA 2048

#define SUCCESS "{\"return_code\":\"SUCCESS\",\"return_msg\":\"\xe6\x88\x90\xe5\x8a\x9f\"}"
#define PARAM_ERROR "{\"return_code\":\"PARAM_ERROR\",\"return_msg\":\"\"}"
#define LICENSE "{\"return_code\":\"PARAM_ERROR\",\"return_msg\":\"AuthInfo License Error\"}"
#define OCCUPIED "{\"return_code\":\"ERROR\",\"return_msg\":\"\"}"
#define NOTHING_OPEN "{\"return_code\":\"ERROR\",\"return_msg\":\"\xe6\x8e\x88\xe6\x9d\x83\xe5\xa4\xb1\xe8\xb4\xa5\"}"
#define NO_SUCH_MODE "{\"return_code\":\"PARAM_ERROR\",\"return_msg\":\"\xe6\x9a\x82\xe4\xb8\x8d\xe6\x94\xaf\xe6\x8c\x81\xe6\xad\xa4\xe8\xae\xa4\xe8\xaf\x81\xe6\xa8\xa1\xe5\xbc\x8f\"}"
#define FAILED(number) "{\"return_code\":\"FAIL\",\"return_msg\":\"\",\"err_code\":" #number "}"

/* What a test may look at, */
char seen[LONGEST];
long allocated = 0, given_back = 0, outstanding_bytes = 0, misreleased = 0;
int camera_is_on = 0, screen_is_open = 0;
/* and what it may set. */
int starting = 0;         /* how often init is too early */
int is_down = 0;          /* the service does not take the call */
char instead[LONGEST];    /* answered in place of anything else, once */

static char open_authinfo[LONGEST];
static size_t sizes[64];
static char *blocks[64];

/* The value of a string field, or 0: an int is no string here. */
static int text(const char *name, char *value) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":\"", name);
    const char *at = strstr(seen, pattern);
    *value = 0;
    if (!at) return 0;
    at += strlen(pattern);
    size_t length = strcspn(at, "\"");
    memcpy(value, at, length);
    value[length] = 0;
    return 1;
}

static int is(const char *name, const char *expected) {
    char value[LONGEST];
    return text(name, value) && strcmp(value, expected) == 0;
}

static int is_well_formed(void) {
    const char *now = strstr(seen, "\"now\":");
    if (!now || !is("version", "1")) return 0;
    now += strlen("\"now\":");
    int digits = 0;
    while (isdigit((unsigned char)now[digits])) digits++;
    return digits == 10;
}

/* "bound|device|appid|mch_id|store_id", or why not. */
static const char *refuses_licence(void) {
    char authinfo[LONGEST], appid[LONGEST], mch_id[LONGEST], store_id[LONGEST];
    static char bound[4 * LONGEST];
    if (!text("authinfo", authinfo)) return FAILED(271378433);
    if (!text("appid", appid) || !text("mch_id", mch_id) || !text("store_id", store_id))
        return PARAM_ERROR;
    if (strcmp(authinfo, "expired") == 0) return FAILED(271382020);
    snprintf(bound, sizeof bound, "bound|%s|%s|%s|%s", DEVICE, appid, mch_id, store_id);
    return strcmp(authinfo, bound) == 0 ? NULL : LICENSE;
}

static const char *rawdata(void) {
    static char answer[RAWDATA + 128], device[RAWDATA + 1];
    memset(device, 'A', RAWDATA);
    snprintf(answer, sizeof answer,
             "{\"return_code\":\"SUCCESS\",\"return_msg\":\"\",\"rawdata\":\"%s\"}", device);
    return answer;
}

static const char *scan(void) {
    const char *refusal = refuses_licence();
    if (screen_is_open) return OCCUPIED;
    if (!is("face_authtype", "FACE_AUTH")) return NO_SUCH_MODE;
    if (refusal) return refusal;
    text("authinfo", open_authinfo);
    screen_is_open = 1;
    return "{\"return_code\":\"SUCCESS\",\"return_msg\":\"\",\"face_sid\":\"sid-1\","
           "\"openid\":\"openid-1\",\"telephone_used\":0}";
}

static const char *authorize(void) {
    if (!screen_is_open) return NOTHING_OPEN;
    if (!is("quit_face_auth", "0") && !is("quit_face_auth", "1")) return PARAM_ERROR;
    if (!is("face_sid", "sid-1") || !is("authinfo", open_authinfo)) return PARAM_ERROR;
    screen_is_open = 0;
    return SUCCESS;
}

static const char *recognise(void) {
    const char *refusal = refuses_licence();
    if (screen_is_open) return OCCUPIED;
    if (!is("face_authtype", "FACEID-ONCE")) return NO_SUCH_MODE;
    if (refusal) return refusal;
    return "{\"return_code\":\"SUCCESS\",\"return_msg\":\"\",\"openid\":\"openid-1\","
           "\"nickname\":\"\xe4\xb8\x89\xe4\xb8\x89\",\"token\":\"token-1\","
           "\"unionid_code\":\"SUCCESS\"}";
}

static const char *answer_to_command(void) {
    if (!is_well_formed()) return PARAM_ERROR;
    if (is("cmd", "initWxpayface")) {
        if (starting > 0) return starting--, FAILED(271378621);
        camera_is_on = 1;
        return SUCCESS;
    }
    if (!camera_is_on) return FAILED(271378620);
    if (is("cmd", "getWxpayfaceRawdata")) return rawdata();
    if (is("cmd", "getWxpayfaceCode")) return scan();
    if (is("cmd", "getWxpayAuth")) return authorize();
    if (is("cmd", "getWxpayfaceUserInfo")) return recognise();
    if (is("cmd", "releaseWxpayface")) {
        camera_is_on = screen_is_open = 0;
        return SUCCESS;
    }
    return PARAM_ERROR;
}

int wxpayCallFaceService(const char *req, unsigned int size, char **resp, unsigned int *resp_size) {
    if (is_down) return 7;
    if (size >= sizeof seen || memchr(req, 0, size)) return 2; /* the length counts no NUL */
    memcpy(seen, req, size);
    seen[size] = 0;
    const char *answer = *instead ? instead : answer_to_command();
    size_t length = strlen(answer), free_slot = 0;
    while (blocks[free_slot])
        if (++free_slot == sizeof blocks / sizeof *blocks) return 3;
    *resp = malloc(length); /* no terminating zero: only the size says where it ends */
    memcpy(*resp, answer, length);
    *resp_size = (unsigned int)length;
    *instead = 0;
    blocks[free_slot] = *resp;
    sizes[free_slot] = length;
    allocated++;
    outstanding_bytes += (long)length;
    return 0;
}

void wxpayReleaseResponse(char **resp) {
    for (size_t slot = 0; slot < sizeof blocks / sizeof *blocks; slot++) {
        if (!*resp || blocks[slot] != *resp) continue;
        memset(*resp, 'X', sizes[slot]); /* reading an answer after its release shows */
        free(*resp);
        *resp = blocks[slot] = NULL;
        given_back++;
        outstanding_bytes -= (long)sizes[slot];
        return;
    }
    misreleased++;
}
