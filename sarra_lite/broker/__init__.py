"""RabbitMQ: connections, publisher confirms, queues and streams.  The only package to use pika."""
