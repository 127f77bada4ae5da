// pgjdbc as people use it: read SQL [PARAM...], held SQL, tx SQL..., notices SQL. Prints JSON lines.

import java.sql.*;
import java.util.*;
import java.util.stream.*;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;
import org.postgresql.util.PSQLWarning;

public class JdbcClient {
    static String text(Object value) {
        if (value == null) return "null";
        String plain = value.toString().replace("\\", "\\\\").replace("\"", "\\\"");
        return "\"" + plain.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + "\"";
    }

    static String list(Stream<String> parts) { return parts.collect(Collectors.joining(", ", "[", "]")); }

    static void failed(SQLException error) {
        var shown = error instanceof PSQLException known ? known.getServerErrorMessage() : null;
        System.out.printf("{\"error\": {\"code\": %s, \"message\": %s, \"detail\": %s, \"hint\": %s}}%n",
            text(error.getSQLState()), text(shown == null ? error.getMessage() : shown.getMessage()),
            text(shown == null ? null : shown.getDetail()), text(shown == null ? null : shown.getHint()));
    }

    static void run(Connection connection, String sql, List<String> parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            // Untyped, so that the server decides what a parameter is.
            for (int at = 0; at < parameters.size(); at++) statement.setObject(at + 1, parameters.get(at), Types.OTHER);
            boolean hasRows = statement.execute();
            for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
                var shown = ((PSQLWarning) warning).getServerErrorMessage();
                System.out.printf("{\"notice\": %s, \"detail\": %s, \"hint\": %s}%n",
                    text(shown.getMessage()), text(shown.getDetail()), text(shown.getHint()));
            }
            if (!hasRows) {
                System.out.printf("{\"did\": \"statement\", \"rows\": %d}%n", statement.getUpdateCount());
                return;
            }
            ResultSet result = statement.getResultSet();
            int width = result.getMetaData().getColumnCount();
            List<String> columns = new ArrayList<>(), rows = new ArrayList<>();
            for (int at = 1; at <= width; at++) columns.add(text(result.getMetaData().getColumnLabel(at)));
            while (result.next()) {
                List<String> row = new ArrayList<>();
                for (int at = 1; at <= width; at++) row.add(text(result.getString(at)));
                rows.add(list(row.stream()));
            }
            System.out.printf("{\"columns\": %s, \"rows\": %s}%n", list(columns.stream()), list(rows.stream()));
        }
    }

    public static void main(String[] given) throws Exception {
        Map<String, String> env = System.getenv();
        Properties whom = new Properties();
        whom.setProperty("user", env.get("PGUSER"));
        whom.setProperty("password", env.get("PGPASSWORD"));
        whom.setProperty("sslmode", env.getOrDefault("PGSSLMODE", "disable"));
        if (env.containsKey("PGSSLROOTCERT")) whom.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        String url = "jdbc:postgresql://localhost:" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, whom)) {
            System.out.printf("{\"did\": \"connected\", \"pid\": %d}%n", connection.unwrap(PGConnection.class).getBackendPID());
            List<String> rest = List.of(given).subList(1, given.length);
            if (!given[0].equals("tx")) { run(connection, rest.get(0), rest.subList(1, rest.size())); return; }
            connection.setAutoCommit(false);
            try {
                for (String sql : rest) run(connection, sql, List.of());
                connection.commit();
                System.out.println("{\"did\": \"committed\"}");
            } catch (SQLException error) {
                failed(error);
                connection.rollback();
                System.out.println("{\"did\": \"rolled back\"}");
                System.exit(1);
            }
        } catch (SQLException error) { failed(error); System.exit(1); }
    }
}
