import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.Calendar;
import java.util.TimeZone;

/**
 * Executes the statements of a file and writes what the driver answers: Statements.java ADDRESS FILE ANSWERS.
 *
 * <p>Each line of FILE is a statement and its parameters, each in base64, parameters as `i`, `s` or `t` (a time in UTC) and the value. Lines of
 * ANSWERS: `E number message`, or `C number label…` and then `R number cell…`, in base64; a null is `-`. Judged by sql_tools.py.
 */
public class Statements {
    static String coded(String text) {
        return text == null ? "-" : "=" + Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }

    static String decoded(String text) {
        return new String(Base64.getDecoder().decode(text), StandardCharsets.UTF_8);
    }

    /** What the driver says and, below it, the server. */
    static String whole(Throwable error) {
        StringBuilder said = new StringBuilder();
        for (Throwable each = error; each != null; each = each.getCause()) {
            said.append(each.getMessage()).append('\n');
        }
        return said.toString();
    }

    /** A cell by the calls that docs/clients.md names as right. */
    static String cell(ResultSet rows, ResultSetMetaData meta, int column) throws SQLException {
        switch (meta.getColumnType(column)) {
            case Types.TIMESTAMP:
            case Types.TIMESTAMP_WITH_TIMEZONE: {
                LocalDateTime time = rows.getObject(column, LocalDateTime.class);
                // To microseconds, as the judge has it.
                return time == null ? null : time.format(DateTimeFormatter.ofPattern(
                        time.getNano() < 1_000 ? "yyyy-MM-dd'T'HH:mm:ss" : "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"));
            }
            case Types.DOUBLE:
            case Types.FLOAT:
            case Types.REAL: {
                double number = rows.getDouble(column);
                return rows.wasNull() ? null : Double.toString(number);
            }
            case Types.DECIMAL:
            case Types.NUMERIC: {
                BigDecimal number = rows.getBigDecimal(column);
                return number == null ? null : number.toPlainString();
            }
            default:
                return rows.getString(column);
        }
    }

    static void bind(PreparedStatement statement, int index, String parameter) throws SQLException {
        String value = parameter.substring(1);
        switch (parameter.charAt(0)) {
            case 'i' -> statement.setInt(index, Integer.parseInt(value));
            case 't' -> statement.setTimestamp(index, new Timestamp(LocalDateTime.parse(value).toInstant(ZoneOffset.UTC).toEpochMilli()),
                    Calendar.getInstance(TimeZone.getTimeZone("UTC")));
            default -> statement.setString(index, value);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        StringBuilder answers = new StringBuilder();
        try (Connection connection = DriverManager.getConnection(url)) {
            int number = 0;
            for (String line : Files.readAllLines(Path.of(arguments[1]))) {
                String[] words = line.split(" ");
                try (PreparedStatement statement = connection.prepareStatement(decoded(words[0]))) {
                    for (int index = 1; index < words.length; index++) {
                        bind(statement, index, decoded(words[index]));
                    }
                    try (ResultSet rows = statement.executeQuery()) {
                        ResultSetMetaData meta = rows.getMetaData();
                        StringBuilder said = new StringBuilder("C " + number);
                        for (int column = 1; column <= meta.getColumnCount(); column++) {
                            said.append(' ').append(coded(meta.getColumnLabel(column)));
                        }
                        said.append('\n');
                        while (rows.next()) {
                            said.append("R ").append(number);
                            for (int column = 1; column <= meta.getColumnCount(); column++) {
                                said.append(' ').append(coded(cell(rows, meta, column)));
                            }
                            said.append('\n');
                        }
                        answers.append(said);
                    }
                } catch (SQLException error) {
                    answers.append("E ").append(number).append(' ').append(coded(whole(error))).append('\n');
                }
                number++;
            }
        }
        Files.writeString(Path.of(arguments[2]), answers);
    }
}
