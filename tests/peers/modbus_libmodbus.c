/* Modbus TCP server made of libmodbus: 12,500 holding registers, register n holds n * 31 + 7.
 * Prints `ready <port>`; ends when its standard input closes. Serves one client at a time. */
#include <arpa/inet.h>
#include <modbus.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *end_with_stdin(void *unused)
{
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
    exit(0);
    return unused;
}

int main(void)
{
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *mapping = modbus_mapping_new(0, 0, 12500, 0);
    for (int n = 0; n < 12500; n++)
        mapping->tab_registers[n] = (uint16_t) (n * 31 + 7);

    int listener = modbus_tcp_listen(context, 1);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *) &address, &length) != 0) {
        perror("listen");
        return 1;
    }
    pthread_t watcher;
    pthread_create(&watcher, NULL, end_with_stdin, NULL);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        if (modbus_tcp_accept(context, &listener) < 0)
            return 1;
        uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
        int received;
        while ((received = modbus_receive(context, request)) >= 0)
            if (received > 0)
                modbus_reply(context, request, received, mapping);
        modbus_close(context);
    }
}
