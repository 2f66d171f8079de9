// A Sparkplug edge of Eclipse Tahu 1.0.17 and Paho 1.2.5; commands and output as tests/peers/mqtt_edge.py says.
//
// How this make is: births have name, alias and type of each metric, data have the alias alone (its encoder is told to leave the types
// out). The will has the bdSeq of its birth, and so has the death of a clean end; the next connection has the next number. Births and deaths
// are the program's to send.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.paho.client.mqttv3.IMqttDeliveryToken;
import org.eclipse.paho.client.mqttv3.MqttCallbackExtended;
import org.eclipse.paho.client.mqttv3.MqttClient;
import org.eclipse.paho.client.mqttv3.MqttConnectOptions;
import org.eclipse.paho.client.mqttv3.MqttException;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.paho.client.mqttv3.persist.MemoryPersistence;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.SparkplugBPayloadEncoder;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.Metric.MetricBuilder;
import org.eclipse.tahu.message.model.MetricDataType;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.message.model.SparkplugBPayload.SparkplugBPayloadBuilder;

public final class Edge implements MqttCallbackExtended {
    private static final String REBIRTH = "Node Control/Rebirth";
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    /** What the table says of a metric, and what it is now. */
    private static final class Point {
        boolean ofDevice;
        String name;
        MetricDataType type;
        long alias;
        JsonNode value;
        long time;
    }

    private final String url;
    private final String group;
    private final String node;
    private final String device;
    private final Map<String, Point> points = new LinkedHashMap<>();
    private MqttClient client;
    private boolean deviceLives;
    private long last;
    private int seq;
    private int bdSeq = -1;

    private Edge(String[] words) throws IOException {
        url = "tcp://" + words[0] + ":" + words[1];
        group = words[2];
        node = words[3];
        device = words[4];
        for (JsonNode metric : JSON.readTree(Path.of(System.getProperty("historian.metrics")).toFile())) {
            add(metric.get("of").asText().equals("device"), metric.get("name").asText(), metric.get("type").asText(),
                    metric.get("alias").asLong(), metric.get("value"));
        }
        for (int n = 0; words.length > 5 && n < Integer.parseInt(words[5]); n++) {
            add(true, "Extra/" + n, "Double", 1000 + n, JSON.getNodeFactory().numberNode((double) n));
        }
    }

    private void add(boolean ofDevice, String name, String type, long alias, JsonNode value) {
        Point point = new Point();
        point.ofDevice = ofDevice;
        point.name = name;
        point.type = new MetricDataType(type);
        point.alias = alias;
        point.value = value;
        points.put(name, point);
    }

    private long now() {
        last = Math.max(last + 1, System.currentTimeMillis());
        return last;
    }

    private static void tell(Point point, JsonNode value, long time, boolean birth, boolean historical) throws IOException {
        ObjectNode line = JSON.createObjectNode();
        line.put("device", point.ofDevice).put("metric", point.name).put("type", point.type.toString());
        line.set("value", value);
        line.put("time", time).put("birth", birth).put("historical", historical);
        OUT.println(JSON.writeValueAsString(line));
    }

    /** The value in the class that Tahu wants for the type. */
    private static Object of(MetricDataType type, JsonNode value) {
        Class<?> wanted = type.getClazz();
        if (wanted == Byte.class) return (byte) value.asInt();
        if (wanted == Short.class) return (short) value.asInt();
        if (wanted == Integer.class) return value.asInt();
        if (wanted == Long.class) return value.asLong();
        if (wanted == BigInteger.class) return value.bigIntegerValue();
        if (wanted == Float.class) return (float) value.asDouble();
        if (wanted == Double.class) return value.asDouble();
        if (wanted == Boolean.class) return value.asBoolean();
        return value.asText();
    }

    private void send(String kind, boolean ofDevice, List<Metric> metrics, Long sequence, boolean birth) throws IOException, MqttException {
        SparkplugBPayloadBuilder payload = new SparkplugBPayloadBuilder().setTimestamp(new Date(now())).addMetrics(metrics);
        if (sequence != null) payload.setSeq(sequence);
        String topic = "spBv1.0/" + group + "/" + kind + "/" + node + (ofDevice ? "/" + device : "");
        client.publish(topic, new SparkplugBPayloadEncoder().getBytes(payload.createPayload(), !birth), 0, false);
    }

    private long next() {
        seq = (seq + 1) % 256;
        return seq;
    }

    private List<Metric> all(boolean ofDevice) throws Exception {
        List<Metric> metrics = new ArrayList<>();
        for (Point point : points.values()) {
            if (point.ofDevice != ofDevice) continue;
            if (point.time == 0) point.time = now();
            tell(point, point.value, point.time, true, false);
            metrics.add(new MetricBuilder(point.name, point.type, of(point.type, point.value))
                    .alias(point.alias).timestamp(new Date(point.time)).createMetric());
        }
        return metrics;
    }

    private List<Metric> session() throws Exception {
        MetricBuilder metric = new MetricBuilder("bdSeq", MetricDataType.Int64, (long) bdSeq).timestamp(new Date(now()));
        return new ArrayList<>(List.of(metric.createMetric()));
    }

    private void births() throws Exception {
        List<Metric> metrics = session();
        metrics.add(new MetricBuilder(REBIRTH, MetricDataType.Boolean, false).timestamp(new Date(now())).createMetric());
        metrics.addAll(all(false));
        seq = 0;
        send("NBIRTH", false, metrics, 0L, true);
        if (deviceLives) send("DBIRTH", true, all(true), next(), true);
    }

    private void birth() throws Exception {
        if (client != null) {
            if (deviceLives) {
                births();
            } else {
                deviceLives = true;
                send("DBIRTH", true, all(true), next(), true);
            }
            return;
        }
        bdSeq = (bdSeq + 1) % 256;
        SparkplugBPayload will = new SparkplugBPayloadBuilder().setTimestamp(new Date(now())).addMetrics(session()).createPayload();
        MqttConnectOptions options = new MqttConnectOptions();
        options.setCleanSession(true);
        options.setKeepAliveInterval(5);
        options.setWill("spBv1.0/" + group + "/NDEATH/" + node, new SparkplugBPayloadEncoder().getBytes(will, false), 1, false);
        client = new MqttClient(url, group + "-" + node + "-" + ProcessHandle.current().pid(), new MemoryPersistence());
        client.setCallback(this);
        client.setTimeToWait(10_000);
        client.connect(options);
        client.subscribe("spBv1.0/" + group + "/NCMD/" + node + "/#", 0);
        deviceLives = true;
        births();
    }

    private void publish(String name, JsonNode value, long time, boolean historical) throws Exception {
        Point point = points.get(name);
        tell(point, value, time, false, historical);
        MetricBuilder metric = new MetricBuilder(point.alias, point.type, of(point.type, value)).timestamp(new Date(time));
        if (historical) {
            metric.isHistorical(true);
        } else {
            point.value = value;
            point.time = time;
        }
        send(point.ofDevice ? "DDATA" : "NDATA", point.ofDevice, List.of(metric.createMetric()), next(), false);
    }

    private synchronized void command(String line) throws Exception {
        String[] words = line.split(" ", 3);
        switch (words[0]) {
            case "birth" -> birth();
            case "data", "historical" -> {
                // A value is JSON, and a time may stand behind it.
                int end = words[2].startsWith("\"") ? words[2].lastIndexOf('"') + 1 : (words[2] + " ").indexOf(' ');
                String time = words[2].substring(end).trim();
                JsonNode value = JSON.readTree(words[2].substring(0, end));
                publish(words[1], value, time.isEmpty() ? now() : Long.parseLong(time), words[0].equals("historical"));
            }
            case "device-death" -> {
                deviceLives = false;
                send("DDEATH", true, List.of(), next(), false);
            }
            case "death" -> {
                send("NDEATH", false, session(), null, true);
                client.disconnect();
                client.close();
                client = null;
            }
            case "die" -> new ProcessBuilder("kill", "-KILL", Long.toString(ProcessHandle.current().pid())).start().waitFor();
            default -> throw new IllegalArgumentException("no command " + line);
        }
    }

    @Override
    public void messageArrived(String topic, MqttMessage message) throws Exception {
        for (Metric metric : new SparkplugBPayloadDecoder().buildFromByteArray(message.getPayload(), null).getMetrics()) {
            if (REBIRTH.equals(metric.getName()) && Boolean.TRUE.equals(metric.getValue())) {
                // The client's own thread must not wait for the client.
                new Thread(() -> {
                    synchronized (this) {
                        try {
                            OUT.println("rebirth");
                            births();
                        } catch (Exception error) {
                            error.printStackTrace();
                        }
                    }
                }).start();
            }
        }
    }

    @Override
    public void connectComplete(boolean again, String server) {}

    @Override
    public void connectionLost(Throwable cause) {
        System.err.println("the connection is lost: " + cause);
    }

    @Override
    public void deliveryComplete(IMqttDeliveryToken token) {}

    public static void main(String[] words) throws Exception {
        Edge edge = new Edge(words);
        OUT.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith("burst ")) {
                for (int n = 0; n < Integer.parseInt(line.substring(6).trim()); n++) {
                    edge.command("data Temperature " + (n + 0.25));
                    Thread.sleep(1);
                }
            } else {
                edge.command(line.trim());
            }
            OUT.println("done");
        }
        System.exit(0);
    }
}
