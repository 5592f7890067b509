/* The lab's stand-in for NVIDIA's management library: what nvidia-ml-py asks, from a text file.
 *
 * $LABTUI_NVML_STATE, else /run/labtui-nvml.state: "key=value" lines that gpu.py writes each
 * second. No file: the driver is not loaded. A key that is missing: not supported. A value that is
 * no number: unknown error. "mismatch=1": the driver is another version; "0.lost=1": the card is off
 * the bus. What is set goes as such lines into "control" beside it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define MIB (1024ULL * 1024ULL)

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
       TOO_SMALL = 7, NOT_LOADED = 9, LOST = 15, SYSTEM = 17, MISMATCH = 18, VERSION = 25,
       UNKNOWN = 999 };

typedef unsigned long long u64;
typedef struct card *device; /* its index plus one; of a MIG device its own << 16 as well */

static int users;

static const char *state_path(void)
{
    const char *path = getenv("LABTUI_NVML_STATE");
    return path && *path ? path : "/run/labtui-nvml.state";
}

/* The value of a key of the state file, "" and an error where there is none. */
static int text(const char *key, char *value, size_t size)
{
    char line[512];
    size_t length = strlen(key);
    int result = NOT_SUPPORTED;
    FILE *file;

    value[0] = '\0';
    if (!users)
        return UNINITIALIZED;
    file = fopen(state_path(), "r");
    if (!file)
        return NOT_LOADED;
    while (fgets(line, sizeof line, file))
        if (!strcmp(line, "mismatch=1\n")) {
            value[0] = '\0';
            result = MISMATCH;
            break;
        } else if (!strncmp(line, key, length) && line[length] == '=') {
            line[strcspn(line, "\r\n")] = '\0';
            result = strlen(line + length + 1) < size ? OK : TOO_SMALL;
            snprintf(value, size, "%s", line + length + 1);
            break;
        }
    fclose(file);
    return result;
}

static int number(const char *key, u64 *value)
{
    char digits[64], *end;
    int result = text(key, digits, sizeof digits);

    if (result)
        return result == TOO_SMALL ? UNKNOWN : result;
    errno = 0;
    *value = strtoull(digits, &end, 10);
    return errno || end == digits || *end || strchr(digits, '-') ? UNKNOWN : OK;
}

static int name_of(device card, const char *field, char *key, size_t size)
{
    u64 count, lost = 0, index = (u64)(size_t)card & 0xffff, mig = (u64)(size_t)card >> 16;
    int result = number("count", &count);

    if (result)
        return result;
    if (!index || index > count)
        return INVALID;
    snprintf(key, size, "%llu.lost", index - 1);
    if (!number(key, &lost) && lost)
        return LOST;
    if (mig)
        snprintf(key, size, "%llu.mig.%llu.%s", index - 1, mig - 1, field);
    else
        snprintf(key, size, "%llu.%s", index - 1, field);
    return OK;
}

static int device_text(device card, const char *field, char *value, unsigned size)
{
    char key[96];
    int result = name_of(card, field, key, sizeof key);
    return !value ? INVALID : result ? result : text(key, value, size);
}

static int device_number(device card, const char *field, u64 *value)
{
    char key[96];
    int result = name_of(card, field, key, sizeof key);
    return result ? result : number(key, value);
}

static int device_unsigned(device card, const char *field, unsigned *value)
{
    u64 wide = 0;
    int result = device_number(card, field, &wide);

    if (!value)
        return INVALID;
    if (result)
        return result;
    if (wide > 0xffffffffULL)
        return UNKNOWN;
    *value = (unsigned)wide;
    return OK;
}

/* Replace one key of the control file; a value of NULL takes it out. Root's alone, as on a GPU. */
static int ask(const char *key, const char *value)
{
    char path[512], draft[520], line[256];
    size_t length = strlen(key);
    char *dot;
    FILE *old, *new;

    if (!users)
        return UNINITIALIZED;
    if (geteuid())
        return NO_PERMISSION;
    snprintf(path, sizeof path - 8, "%s", state_path());
    dot = strrchr(path, '.');
    snprintf(dot && !strchr(dot, '/') ? dot : path + strlen(path), 9, ".control");
    snprintf(draft, sizeof draft, "%s.new", path);
    new = fopen(draft, "w");
    if (!new)
        return SYSTEM;
    old = fopen(path, "r");
    if (old) {
        while (fgets(line, sizeof line, old))
            if (strncmp(line, key, length) || line[length] != '=')
                fputs(line, new);
        fclose(old);
    }
    if (value)
        fprintf(new, "%s=%s\n", key, value);
    return fclose(new) || rename(draft, path) ? SYSTEM : OK;
}

API int nvmlInit_v2(void)
{
    u64 count;
    int result;

    users++;
    result = number("count", &count);
    if (result == NOT_SUPPORTED)
        result = UNKNOWN;
    if (result)
        users--;
    return result;
}
API int nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
API int nvmlShutdown(void) { return users ? (users--, OK) : UNINITIALIZED; }

API const char *nvmlErrorString(int result)
{
    switch (result) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case TOO_SMALL: return "Insufficient Size";
    case NOT_LOADED: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
    case MISMATCH: return "RM has detected an NVML/RM version mismatch.";
    case SYSTEM: return "Operating System Error";
    case VERSION: return "Argument version mismatch";
    default: return "Unknown Error";
    }
}

API int nvmlSystemGetDriverVersion(char *value, unsigned size) { return text("driver", value, size); }

API int nvmlDeviceGetCount_v2(unsigned *count)
{
    u64 wide;
    int result = number("count", &wide);
    if (!result)
        *count = (unsigned)wide;
    return result;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *card)
{
    char key[96];
    *card = (device)(size_t)(index + 1ULL);
    return name_of(*card, "", key, sizeof key);
}

static int find(const char *field, const char *wanted, device *card)
{
    char value[96];
    for (size_t i = 1; !device_text((device)i, "name", value, sizeof value); i++)
        if (!device_text((device)i, field, value, sizeof value) && !strcmp(value, wanted)) {
            *card = (device)i;
            return OK;
        }
    return users ? NOT_FOUND : UNINITIALIZED;
}
API int nvmlDeviceGetHandleByUUID(const char *uuid, device *card) { return find("uuid", uuid, card); }
API int nvmlDeviceGetHandleByPciBusId_v2(const char *id, device *card) { return find("pci", id, card); }

API int nvmlDeviceGetIndex(device card, unsigned *index)
{
    char key[96];
    int result = name_of(card, "", key, sizeof key);
    *index = (unsigned)(size_t)card - 1;
    return result;
}
API int nvmlDeviceGetMinorNumber(device card, unsigned *minor) { return nvmlDeviceGetIndex(card, minor); }
API int nvmlDeviceGetName(device card, char *value, unsigned size) { return device_text(card, "name", value, size); }
API int nvmlDeviceGetUUID(device card, char *value, unsigned size) { return device_text(card, "uuid", value, size); }

struct memory { u64 total, free, used; };
struct memory_v2 { unsigned version; u64 total, reserved, free, used; };

static int memory(device card, struct memory_v2 *to)
{
    u64 total, reserved, used;
    int result = device_number(card, "memory_total_mib", &total);

    if (!result)
        result = device_number(card, "memory_reserved_mib", &reserved);
    if (!result)
        result = device_number(card, "memory_used_mib", &used);
    if (result)
        return result;
    if (reserved > total || used > total - reserved)
        return UNKNOWN;
    to->total = total * MIB;
    to->reserved = reserved * MIB;
    to->used = used * MIB;
    to->free = (total - reserved - used) * MIB;
    return OK;
}

API int nvmlDeviceGetMemoryInfo_v2(device card, struct memory_v2 *to)
{
    return to->version >> 24 == 2 ? memory(card, to) : VERSION;
}

API int nvmlDeviceGetMemoryInfo(device card, struct memory *to)
{
    struct memory_v2 all;
    int result = memory(card, &all);
    if (!result)
        *to = (struct memory){all.total, all.free, all.used + all.reserved};
    return result;
}

API int nvmlDeviceGetUtilizationRates(device card, unsigned rates[2])
{
    int result = device_unsigned(card, "util_gpu", &rates[0]);
    return result ? result : device_unsigned(card, "util_memory", &rates[1]);
}

API int nvmlDeviceGetTemperature(device card, unsigned sensor, unsigned *value)
{
    return sensor ? INVALID : device_unsigned(card, "temperature_c", value);
}

struct temperature { unsigned version, sensor; int value; };
API int nvmlDeviceGetTemperatureV(device card, struct temperature *to)
{
    return nvmlDeviceGetTemperature(card, to->sensor, (unsigned *)&to->value);
}

API int nvmlDeviceGetPowerUsage(device card, unsigned *mw) { return device_unsigned(card, "power_mw", mw); }
API int nvmlDeviceGetEnforcedPowerLimit(device card, unsigned *mw) { return device_unsigned(card, "power_limit_mw", mw); }
API int nvmlDeviceGetPowerManagementLimit(device card, unsigned *mw) { return device_unsigned(card, "power_limit_mw", mw); }
API int nvmlDeviceGetPowerManagementDefaultLimit(device card, unsigned *mw) { return device_unsigned(card, "power_default_mw", mw); }

API int nvmlDeviceGetPowerManagementLimitConstraints(device card, unsigned *low, unsigned *high)
{
    int result = device_unsigned(card, "power_min_mw", low);
    return result ? result : device_unsigned(card, "power_max_mw", high);
}

API int nvmlDeviceSetPowerManagementLimit(device card, unsigned mw)
{
    char watts[32];
    unsigned low, high;
    int result = nvmlDeviceGetPowerManagementLimitConstraints(card, &low, &high);

    if (result)
        return result;
    if (mw < low || mw > high)
        return INVALID;
    snprintf(watts, sizeof watts, "%u.%03u", mw / 1000, mw % 1000);
    return ask("power_limit_w", watts);
}

API int nvmlDeviceGetPersistenceMode(device card, unsigned *on) { return device_unsigned(card, "persistence", on); }
API int nvmlDeviceSetPersistenceMode(device card, unsigned on)
{
    unsigned now;
    int result = nvmlDeviceGetPersistenceMode(card, &now);
    return result ? result : on > 1 ? INVALID : ask("persistence", on ? "1" : "0");
}

API int nvmlDeviceSetGpuLockedClocks(device card, unsigned low, unsigned high)
{
    char mhz[32];
    unsigned now;
    int result = device_unsigned(card, "sm_mhz", &now);

    if (result)
        return result;
    if (low > high)
        return INVALID;
    snprintf(mhz, sizeof mhz, "%u", low);
    result = ask("clock_lock_min_mhz", mhz);
    snprintf(mhz, sizeof mhz, "%u", high);
    return result ? result : ask("clock_lock_mhz", mhz);
}
API int nvmlDeviceResetGpuLockedClocks(device card)
{
    unsigned now;
    int result = device_unsigned(card, "sm_mhz", &now);
    if (!result)
        result = ask("clock_lock_min_mhz", NULL);
    return result ? result : ask("clock_lock_mhz", NULL);
}

/* 0 graphics and 1 SM are one clock here, 2 is memory, 3 video is not there. */
API int nvmlDeviceGetClockInfo(device card, unsigned kind, unsigned *mhz)
{
    return kind > 2 ? NOT_SUPPORTED : device_unsigned(card, kind == 2 ? "memory_mhz" : "sm_mhz", mhz);
}
API int nvmlDeviceGetMaxClockInfo(device card, unsigned kind, unsigned *mhz)
{
    return kind > 2 ? NOT_SUPPORTED : device_unsigned(card, kind == 2 ? "memory_max_mhz" : "sm_max_mhz", mhz);
}

API int nvmlDeviceGetCurrentClocksEventReasons(device card, u64 *reasons) { return device_number(card, "reasons", reasons); }
API int nvmlDeviceGetCurrentClocksThrottleReasons(device card, u64 *reasons) { return device_number(card, "reasons", reasons); }

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char text[32]; };
API int nvmlDeviceGetPciInfo_v3(device card, struct pci *to)
{
    int result;
    memset(to, 0, sizeof *to);
    result = device_text(card, "pci", to->text, sizeof to->text);
    if (result)
        return result;
    if (sscanf(to->text, "%x:%x:%x", &to->domain, &to->bus, &to->device) != 3)
        return UNKNOWN;
    snprintf(to->legacy, sizeof to->legacy, "%04x:%02x:%02x.0", to->domain & 0xffff,
             to->bus & 0xff, to->device & 0xff);
    return OK;
}

struct process { unsigned pid; u64 memory; unsigned gpu_instance, compute_instance; };
API int nvmlDeviceGetComputeRunningProcesses_v3(device card, unsigned *count, struct process *to)
{
    char field[64];
    u64 there, memory_mib;
    int result = device_number(card, "processes", &there);

    if (result)
        return result;
    if (there > 4096)
        return UNKNOWN;
    if (there > *count || (there && !to)) {
        *count = (unsigned)there;
        return TOO_SMALL;
    }
    for (unsigned i = 0; i < there; i++) {
        snprintf(field, sizeof field, "process.%u.pid", i);
        result = device_unsigned(card, field, &to[i].pid);
        snprintf(field, sizeof field, "process.%u.memory_mib", i);
        if (!result)
            result = device_number(card, field, &memory_mib);
        if (result)
            return result;
        to[i].memory = memory_mib * MIB;
        to[i].gpu_instance = to[i].compute_instance = 0xffffffff;
        snprintf(field, sizeof field, "process.%u.gi", i);
        if (!device_unsigned(card, field, &to[i].gpu_instance))
            to[i].compute_instance = 0;
    }
    *count = (unsigned)there;
    return OK;
}

/* Uncorrected since the driver was loaded; corrected ones and other counters are not kept. */
API int nvmlDeviceGetTotalEccErrors(device card, unsigned kind, unsigned counter, u64 *count)
{
    return kind == 1 && counter == 0 ? device_number(card, "ecc", count) : NOT_SUPPORTED;
}

API int nvmlDeviceGetMigMode(device card, unsigned *now, unsigned *pending)
{
    int result = device_unsigned(card, "mig", now);
    *pending = *now;
    return result;
}
API int nvmlDeviceGetMaxMigDeviceCount(device card, unsigned *count) { return device_unsigned(card, "mig_max", count); }
API int nvmlDeviceGetMigDeviceHandleByIndex(device card, unsigned index, device *part)
{
    unsigned id;
    int result;

    *part = (device)((size_t)card | (size_t)(index + 1) << 16);
    result = device_unsigned(*part, "gi", &id);
    return result == NOT_SUPPORTED ? NOT_FOUND : result;
}
API int nvmlDeviceGetGpuInstanceId(device part, unsigned *id) { return device_unsigned(part, "gi", id); }

/* Nothing here draws, and there is no MPS. */
API int nvmlDeviceGetGraphicsRunningProcesses_v3(device card, unsigned *count, struct process *to)
{
    unsigned index;
    (void)to;
    *count = 0;
    return nvmlDeviceGetIndex(card, &index);
}
