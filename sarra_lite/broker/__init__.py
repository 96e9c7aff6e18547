"""RabbitMQ: connections, confirms, topology, streams of reports.  Alone imports pika."""
