from report_rows import row

from edudistill_mm.comparison.plots import NEAR, _side_by_side, draw_plots

GRADES = [('low', 1), ('high', 1)]


def test_a_caption_says_which_rows_its_plot_does_not_show_and_why(tmp_path):
    rows = [
        row('KD', 10, s0=50, s1=52),
        row('edu', 8, GRADES, ['low', 'high'], s0=51),
        row('uncounted', s0=49),
        row('to come', 9),
    ]
    captions = {path.split('/')[-1]: caption for path, caption in draw_plots(rows, str(tmp_path))}
    assert captions['accuracy_cost'].endswith(
        'n is the number of seeds. Not shown: "uncounted" (costs not counted); "to come" (no result yet)'
    )
    assert captions['accuracy'].endswith('Not shown: "to come" (no result yet)')
    assert '"KD", "uncounted" (no class groups measured)' in captions['class_groups']
    assert '"edu"' not in captions['grades_by_groups']


def test_plots_are_files_for_papers_and_pages_and_the_same_each_time(tmp_path):
    rows = [row('KD', 10, s0=50, s1=52), row('edu', 8, GRADES, s0=51, s1=50)]
    files = []
    for folder in (tmp_path / 'one', tmp_path / 'two'):
        plots = draw_plots(rows, str(folder))
        assert not any('Not shown' in caption for _, caption in plots)
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]
    assert set(files[0]) == {
        f'{name}.{suffix}'
        for name in ('accuracy', 'accuracy_cost')
        for suffix in ('pdf', 'svg', 'png')
    }
    assert all(len(content) < 200_000 for content in files[0].values())


def test_rows_of_nearly_equal_cost_do_not_hide_each_other():
    costs = [50, 100, 100 + 50 * NEAR, 100]
    places = _side_by_side(costs, 100)
    assert places[0] == 50
    # As they are listed, and each about where its cost is.
    assert places[1] + 1 < places[2] < places[3] - 1
    assert all(abs(place - cost) < 5 for place, cost in zip(places, costs))
