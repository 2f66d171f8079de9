"""Makes the workbooks of this directory of its lists, as two libraries write them: `make.py`, with openpyxl 3.1.5 and XlsxWriter 3.3.1.

They are kept here and not made in the tests: what is read is what these versions write. A list is there as `NAME.csv`, and as
`NAME_openpyxl.xlsx`, `NAME_xlsxwriter.xlsx` (texts shared by cells) and `NAME_inline.xlsx` (XlsxWriter with little memory: texts in cells).
Cells are typed as in a spreadsheet program: numbers are numbers, shown with the zeros that the list has.
"""

import csv
import datetime as dt
import re
from pathlib import Path

import openpyxl
import xlsxwriter

HERE = Path(__file__).parent
LISTS = ["map", "kepware", "tags"]


def typed(text):
    """A cell as it is typed, with the format that shows it so."""
    if text in ("true", "false"):
        return text == "true", None
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return text, None
    if re.fullmatch(r"0\d+", text):
        return int(text), "0" * len(text)
    number = float(text) if "." in text else int(text)
    return number, None if str(number) == text else "0." + "0" * len(text.split(".")[1])


def rows(name):
    with open(HERE / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def with_openpyxl(name):
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = name.capitalize()
    for row, cells in enumerate(rows(name), 1):
        for column, text in enumerate(cells, 1):
            value, shape = typed(text)
            if value != "":
                cell = sheet.cell(row, column, value)
                cell.number_format = shape or cell.number_format
    if name == "map":
        sheet.merge_cells("A1:E1")
    workbook.save(HERE / f"{name}_openpyxl.xlsx")


def with_xlsxwriter(name, make, options):
    with xlsxwriter.Workbook(HERE / f"{name}_{make}.xlsx", options) as workbook:
        sheet = workbook.add_worksheet(name.capitalize())
        for row, cells in enumerate(rows(name)):
            for column, text in enumerate(cells):
                value, shape = typed(text)
                style = workbook.add_format({"num_format": shape}) if shape else None
                if isinstance(value, bool):
                    sheet.write_boolean(row, column, value, style)
                elif isinstance(value, (int, float)):
                    sheet.write_number(row, column, value, style)
                elif value != "":
                    sheet.write_string(row, column, value, style)


def doubtful():
    """Cells that show something else than they have, and sheets besides."""
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Doubtful"
    sheet.append(["name", "address", "type", "scale", "max", "changed"])
    sheet.append(["fine", 40001, "INT", 0.1, 1, dt.date(2026, 3, 1)])
    sheet.append(["date", 40002, "INT", dt.date(2026, 10, 1), 1])
    sheet.append(["percent", 40003, "INT", 0.1, 1])
    sheet["E4"].number_format = "0%"
    sheet.append(["formula", "=40000+4", "INT", 0.1, 1])
    sheet.append(["words", 5, "INT", 0.1, 1])
    sheet["B6"].number_format = '"HR"0'
    sheet.append(["error", 40006, "INT", "#DIV/0!", 1])
    other = workbook.create_sheet("Registers")
    other.append(["name", "address"])
    other.append(["level", 40010])
    workbook.create_sheet("Notes").append(["nothing to see"])
    workbook.create_sheet("Old").sheet_state = "hidden"
    workbook.save(HERE / "doubtful.xlsx")


def merged():
    """Cells that are merged downwards, numbers that are shown as others, and what is hidden."""
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Merged"
    sheet.append(["Dryer 3"])
    sheet.merge_cells("A1:F1")
    sheet.append(["name", "slave id", "address", "type", "scale", "description"])
    sheet.append(["first", 7, 40001, "REAL", 1, "both"])
    sheet.append(["second", None, 40003, None, 1])
    sheet.append(["third", 7, 40005, "INT", 1])
    sheet.append(["decimals", 7, 40006, "INT", 1])
    sheet.append(["rounded", 7, 40007.4, "BOOL", 1])
    sheet.append(["marked", 7, 40008, "INT", 1])
    sheet.append(["hidden", 7, 40009, "INT", 1])
    sheet.merge_cells("B3:B4")
    sheet.merge_cells("D3:D4")
    sheet["C6"].number_format = "0.00"
    sheet["C7"].number_format = "0"
    sheet["C8"].number_format = "0\\!0000"
    sheet.row_dimensions[9].hidden = True
    sheet.column_dimensions["F"].hidden = True
    workbook.save(HERE / "merged.xlsx")


for name in LISTS:
    with_openpyxl(name)
    with_xlsxwriter(name, "xlsxwriter", {})
    with_xlsxwriter(name, "inline", {"constant_memory": True})
doubtful()
merged()
