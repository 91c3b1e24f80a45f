// libnftables, which the packet rules are compared with.
#include <nftables/libnftables.h>
